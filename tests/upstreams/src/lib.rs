//! Stand-ins for other people's servers, and the demo's data.
//!
//! Shopify, Salesforce, Zendesk, Klaviyo, Google Sheets and Slack answer on loopback in the real services'
//! shapes, as far as the project's tools and workflows use them, and refuse the rest as the real ones
//! would. They lack rate limits of their own, webhooks and TLS; a test asks for failures through [`Faults`].

mod asked;
pub mod data;
pub mod demo;
pub mod drive;
pub mod fault;
pub mod issuer;
pub mod klaviyo;
pub mod mariadb;
pub mod mongo;
pub mod postgres;
pub mod program;
pub mod proxy;
mod random;
pub mod running;
pub mod s3;
pub mod salesforce;
pub mod services;
pub mod sheets;
pub mod shopify;
pub mod slack;
pub mod tokens;
pub mod zendesk;

pub use self::fault::{Fault, Faults};
pub use self::running::{Received, Running};

#[cfg(test)]
mod client;
