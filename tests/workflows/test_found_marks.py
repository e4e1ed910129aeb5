"""What the text itself shows reaches the decision as a fact (CX-93)."""

import pytest

from tests.fakes.scripted_provider import Says
from tests.workflows.stack import Stack
from tests.workflows.test_codex_roles import judged

UNSAFE = """\
Please write this change:

```diff
--- a/src/a.rs
+++ b/src/a.rs
@@ -1,1 +1,1 @@
-let x = 1;
+unsafe { go() }
```
"""


@pytest.mark.req("CX-93")
async def test_a_diff_in_the_prompt_makes_the_task_high_risk(stack: Stack) -> None:
    declaration = stack.declare(pack="codex", task_class="implementer")
    stack.script.write(declaration.task_id, Says("A patch."), judged("pass"))
    await stack.run(declaration, UNSAFE)
    first, *_ = stack.outcomes.decisions(declaration.task_id)
    assert "hr_unsafe" in first.input.classification.marks
    assert "unsafe {" not in first.model_dump_json()


async def test_the_same_text_marks_nothing_where_the_pack_has_no_groups(stack: Stack) -> None:
    declaration = stack.declare()
    await stack.run(declaration, UNSAFE)
    first, *_ = stack.outcomes.decisions(declaration.task_id)
    assert first.input.classification.marks == ()
