//! One file a door or a promise.

mod audit;
mod backup;
mod chain;
mod clients;
mod doors;
mod hostile;
mod keys;
mod life;
mod mariadb;
mod mcp;
mod models;
mod refusals;
mod tenant;
mod uploads;
mod usage;
