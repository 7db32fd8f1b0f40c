  ;; A table that is refused its growth, and a trap at once: the limit is what the client is told.
  (memory (export "memory") 1)
  (table $one 1 funcref)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (drop (table.grow $one (ref.null func) (i32.const 1000000)))
    unreachable)
