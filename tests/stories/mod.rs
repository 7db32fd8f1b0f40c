//! One file a door or a promise.

mod audit;
mod backup;
mod chain;
mod clients;
mod connections;
mod doors;
mod guide;
mod hostile;
mod keys;
mod languages;
mod life;
mod mariadb;
mod mcp;
mod models;
mod mongodb;
mod oauth;
mod operations;
mod postgres;
mod refusals;
mod secrets;
mod tenant;
mod uploads;
mod usage;
mod workflows;
mod workflows_life;
