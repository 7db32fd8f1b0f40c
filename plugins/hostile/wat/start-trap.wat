  ;; A trap in the start section.
  (memory (export "memory") 1)
  (func $start unreachable)
  (start $start)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32) (call $answer (i32.const 1)))
