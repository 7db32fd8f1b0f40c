  ;; Fills 16 MiB again and again: each is one instruction, and no tick comes in between.
  (memory (export "memory") 300)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (loop $again
      (memory.fill (i32.const 65536) (i32.const 7) (i32.const 16777216))
      (br $again))
    unreachable)
