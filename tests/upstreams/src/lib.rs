//! Stand-ins for other people's servers, and the demo's data.
//!
//! Shopify and Salesforce answer on loopback in the real services' shapes, as far as the project's
//! tools and workflows use them, and refuse the rest as the real ones would. They lack rate limits of
//! their own, webhooks and TLS; a test asks for failures through [`Faults`].

pub mod data;
pub mod demo;
pub mod fault;
pub mod issuer;
pub mod mariadb;
mod random;
pub mod running;
pub mod salesforce;
pub mod shopify;
pub mod tokens;

pub use self::fault::{Fault, Faults};
pub use self::running::{Received, Running};

#[cfg(test)]
mod client;
