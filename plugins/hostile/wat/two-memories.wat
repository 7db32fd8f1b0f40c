  ;; Two memories, of which neither alone passes the limit. Answers how many pages it got in all.
  (memory (export "memory") 1)
  (memory $other 1)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (block $full (loop $more
      (br_if $full (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
      (br $more)))
    (block $full (loop $more
      (br_if $full (i32.eq (memory.grow $other (i32.const 16)) (i32.const -1)))
      (br $more)))
    (call $answer (i32.add (memory.size) (memory.size $other))))
