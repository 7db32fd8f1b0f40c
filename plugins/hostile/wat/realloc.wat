  ;; Loops where the host asks for room for the arguments.
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (loop $for_ever (br $for_ever)) unreachable)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32) (call $answer (i32.const 1)))
