  ;; Uses a handle that nobody gave it.
  (import "remit:plugin/invocation@0.1.0" "[method]invocation.remaining-ms" (func $remaining (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (call $answer (call $remaining (i32.const 0x0ffffff0))))
