//! A guest that never finishes describing itself.

use std::hint::black_box;

use remit_sdk::prelude::*;

tool_set![endless()];

fn endless() -> Tool {
    loop {
        black_box(());
    }
}
