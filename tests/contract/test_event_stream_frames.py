"""The bytes that the event stream sends to NATS."""

import pytest

from infra.adapters import nats_frames


class TestFrames:
    def test_of_one_event_carry_the_fence(self) -> None:
        assert nats_frames.message((b"evt.a.b", b"{}"), 7, b"_INBOX.1") == (
            b"HPUB evt.a.b _INBOX.1 43 45\r\nNATS/1.0\r\nNats-Expected-Last-Sequence:7\r\n\r\n{}\r\n"
        )

    def test_of_a_batch_carry_the_fence_first_and_the_commit_last(self) -> None:
        staged, commit = nats_frames.batch([(b"a", b"1"), (b"b", b"22"), (b"c", b"333")], b"x", 7, b"_INBOX.1")
        header = b"NATS/1.0\r\nNats-Batch-Id:x\r\nNats-Batch-Sequence:%d\r\n"
        first = header % 1 + b"Nats-Expected-Last-Sequence:7\r\n\r\n"
        second, third = header % 2 + b"\r\n", header % 3 + b"Nats-Batch-Commit:1\r\n\r\n"
        assert staged == (
            b"HPUB a %d %d\r\n%b1\r\n" % (len(first), len(first) + 1, first)
            + b"HPUB b %d %d\r\n%b22\r\n" % (len(second), len(second) + 2, second)
        )
        assert commit == b"HPUB c _INBOX.1 %d %d\r\n%b333\r\n" % (len(third), len(third) + 3, third)

    @pytest.mark.parametrize(
        ("tenant", "token"),
        [("acme", "acme"), ("a.b", "a=2Eb"), ("a b*>", "a=20b=2A=3E"), ("ü", "=C3=BC"), ("a=2Eb", "a=3D2Eb")],
    )
    def test_have_a_subject_that_no_two_tenants_share(self, tenant: str, token: str) -> None:
        assert nats_frames.Subjects(0).of(tenant, "agent.started") == f"evt.{token}.agent.started".encode()
