"""Recordings whose request died before it queued a job: they are deleted, and no others, whatever the clock says."""

from app.core.audio.samples import create_unnamed_file
from tests.app.api.test_jobs import queue_job
from tests.app.running_service import serving


async def test_a_recording_without_a_job_is_deleted_at_the_second_look() -> None:
    async with serving(jobs={"workers": 0}) as site:
        jobs = site.jobs
        queued = await jobs.store.get((await queue_job(site))["id"], "")
        assert queued is not None
        with create_unnamed_file(b"x") as file:
            lost = await jobs.blobs.put(file)
        await jobs.delete_orphans(3600)
        assert await jobs.blobs.list_older(-1) == {queued.blob, lost}, "it may be about to get its job"
        await jobs.delete_orphans(-1)
        assert await jobs.blobs.list_older(-1) == {queued.blob, lost}, "the clock may have jumped"
        await jobs.delete_orphans(-1)
        assert await jobs.blobs.list_older(-1) == {queued.blob}
