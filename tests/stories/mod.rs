//! One file a door or a promise.

mod audit;
mod clients;
mod doors;
mod guide;
mod hostile;
mod keys;
mod languages;
mod life;
mod mariadb;
mod mcp;
mod models;
mod refusals;
