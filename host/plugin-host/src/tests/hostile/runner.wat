;; A runner whose parts are put in by a test: what no compiler would make of honest source. `run` answers with whatever lies at 1024.
(component
  (import "piper:base/log@0.1.0" (instance $log
    (type $level' (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level')))
    (export "emit" (func (param "level" $level) (param "message" string) (param "fields" (list (tuple string string)))))))

  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {REALLOC}))
  (core instance $m (instantiate $memory))
  (alias core export $m "memory" (core memory $mem))
  (alias core export $m "realloc" (core func $realloc))
  (core func $emit (canon lower (func $log "emit") (memory $mem)))
  (core module $main
    (import "" "memory" (memory $mem 1))
    (import "" "emit" (func $emit (param i32 i32 i32 i32 i32)))
    {MAIN}
    (func $run (export "run") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {RUN}))
  (core instance $i (instantiate $main (with "" (instance
    (export "memory" (memory $mem))
    (export "emit" (func $emit))))))

  (type $kind (enum "transient" "permanent" "denied" "invalid" "cancelled"))
  (type $failure (record (field "kind" $kind) (field "code" string) (field "message" string)
    (field "retry-after-ms" (option u32)) (field "details" (option string))))
  (type $call (record (field "name" string) (field "config" string) (field "options" string) (field "facts" string)))
  (type $verdict (record (field "status" string) (field "message" string)))
  (func $run (param "call" $call) (result (result $verdict (error $failure)))
    (canon lift (core func $i "run") (memory $mem) (realloc $realloc)))

  (component $named
    (type $kind' (enum "transient" "permanent" "denied" "invalid" "cancelled"))
    (import "failure-kind" (type $kind (eq $kind')))
    (type $failure' (record (field "kind" $kind) (field "code" string) (field "message" string)
      (field "retry-after-ms" (option u32)) (field "details" (option string))))
    (import "failure" (type $failure (eq $failure')))
    (type $call' (record (field "name" string) (field "config" string) (field "options" string) (field "facts" string)))
    (import "call" (type $call (eq $call')))
    (type $verdict' (record (field "status" string) (field "message" string)))
    (import "verdict" (type $verdict (eq $verdict')))
    (import "run" (func $run (param "call" $call) (result (result $verdict (error $failure)))))
    (export $kind-out "failure-kind" (type $kind'))
    (type $failure'' (record (field "kind" $kind-out) (field "code" string) (field "message" string)
      (field "retry-after-ms" (option u32)) (field "details" (option string))))
    (export $failure-out "failure" (type $failure''))
    (export $call-out "call" (type $call'))
    (export $verdict-out "verdict" (type $verdict'))
    (export "run" (func $run) (func (param "call" $call-out) (result (result $verdict-out (error $failure-out))))))
  (instance $runner (instantiate $named
    (with "failure-kind" (type $kind))
    (with "failure" (type $failure))
    (with "call" (type $call))
    (with "verdict" (type $verdict))
    (with "run" (func $run))))
  (export "piper:step/step-runner@0.1.0" (instance $runner)))
