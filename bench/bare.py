"""The yardstick: a workflow that does nothing but call no-op activities on separate task queues."""

from datetime import timedelta

from temporalio import activity, workflow

BARE_WORKFLOW_QUEUE = "bare"
BARE_QUEUES = ("bare-1", "bare-2", "bare-3")


@activity.defn(name="no-op")
async def no_op(word: str) -> str:
    return word


@workflow.defn(name="Bare")
class Bare:
    @workflow.run
    async def run(self, hops: int) -> str:
        for hop in range(hops):
            await workflow.execute_activity(
                no_op,
                "x",
                task_queue=BARE_QUEUES[hop % len(BARE_QUEUES)],
                start_to_close_timeout=timedelta(seconds=60),
            )
        return "done"
