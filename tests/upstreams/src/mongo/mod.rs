//! MongoDB for tests: no server of its makers' can be had here, so there are two that stand in.
//!
//! [`Emulator`] is somebody else's, which keeps documents and answers as MongoDB would, as far as it goes.
//! [`Recorder`] keeps nothing: it notes each command that comes in, and answers as it is told to. They
//! lack TLS, authentication that succeeds, and replica sets.

mod emulator;
mod recorder;
mod wire;

pub use self::{
    emulator::Emulator,
    recorder::{Answer, Recorder},
};
