  ;; An answer of three hundred pieces that are all the same mebibyte of its memory, which is not much for
  ;; the guest and would be 300 MiB for the host.
  (memory (export "memory") 64)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (local $at i32)
    (memory.fill (i32.const 1048576) (i32.const 120) (i32.const 1048576))
    (local.set $at (i32.const 65536))
    (loop $piece
      ;; A piece of content has 128 bytes; zeros are a text without annotations.
      (i32.store (i32.add (local.get $at) (i32.const 8)) (i32.const 1048576))
      (i32.store (i32.add (local.get $at) (i32.const 12)) (i32.const 1048576))
      (local.set $at (i32.add (local.get $at) (i32.const 128)))
      (br_if $piece (i32.lt_u (local.get $at) (i32.const 103936))))
    (i32.store (i32.const 2056) (i32.const 65536))
    (i32.store (i32.const 2060) (i32.const 300))
    (i32.const 2048))
