  ;; All the memory that 32 bits can name.
  (memory (export "memory") 65536)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32) (call $answer (i32.const 1)))
