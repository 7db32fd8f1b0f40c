  ;; An answer whose text is no UTF-8.
  (memory (export "memory") 1)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.store (i32.const 2113) (i32.const 0xfffefdfc))
    (i32.const 2048))
