  ;; An answer of two thousand million pieces.
  (memory (export "memory") 1)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.store (i32.const 2056) (i32.const 4096))
    (i32.store (i32.const 2060) (i32.const 0x7fffffff))
    (i32.const 2048))
