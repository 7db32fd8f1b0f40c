  ;; An answer whose text lies beyond its memory.
  (memory (export "memory") 1)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.store (i32.const 2068) (i32.const 0xfffffff0))
    (i32.store (i32.const 2072) (i32.const 100))
    (i32.const 2048))
