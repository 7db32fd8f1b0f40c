  ;; Drops what it was handed, and uses it.
  (import "remit:plugin/invocation@0.1.0" "[method]invocation.remaining-ms" (func $remaining (param i32) (result i32)))
  (import "remit:plugin/invocation@0.1.0" "[resource-drop]invocation" (func $drop (param i32)))
  (memory (export "memory") 1)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (call $drop (local.get 5))
    (call $answer (call $remaining (local.get 5))))
