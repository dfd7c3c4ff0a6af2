from wit_world import exports
from wit_world.exports.step_runner import Verdict
from wit_world.imports import step_context

from piper import Arguments, guard


class StepRunner(exports.StepRunner):
    @guard
    def run(self, call: Arguments) -> Verdict:
        name = call.options.get("name", "world")
        step_context.print(False, f"hello, {name}\n".encode())
        step_context.set_output("greeted", name)
        return Verdict("passed", "")
