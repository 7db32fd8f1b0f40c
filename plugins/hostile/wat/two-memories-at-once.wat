  ;; Two memories of 96 MiB each, there from the beginning: one fits, both do not.
  (memory (export "memory") 1536)
  (memory $other 1536)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32) (call $answer (i32.const 1)))
