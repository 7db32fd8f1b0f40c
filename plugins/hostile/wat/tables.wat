  ;; Three tables that grow until each is refused. Answers how many elements it got in all.
  (memory (export "memory") 1)
  (table $one 1 funcref)
  (table $two 1 funcref)
  (table $three 1 funcref)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (block $full (loop $more
      (br_if $full (i32.eq (table.grow $one (ref.null func) (i32.const 100)) (i32.const -1)))
      (br $more)))
    (block $full (loop $more
      (br_if $full (i32.eq (table.grow $two (ref.null func) (i32.const 100)) (i32.const -1)))
      (br $more)))
    (block $full (loop $more
      (br_if $full (i32.eq (table.grow $three (ref.null func) (i32.const 100)) (i32.const -1)))
      (br $more)))
    (call $answer (i32.add (i32.add (table.size $one) (table.size $two)) (table.size $three))))
