//! One file a door or a promise.

mod audit;
mod clients;
mod connections;
mod doors;
mod hostile;
mod keys;
mod life;
mod mariadb;
mod mcp;
mod models;
mod oauth;
mod refusals;
