"""Progress frames that nobody has read yet: a newer one takes an older one's place, and loses nothing."""

from __future__ import annotations

from rakinglight.wire import Frame

#: What progress brings now and then: the map or the picture so far, and a state from which the run can go on.
RARE = ("map", "picture", "saved")


def newest(unread: Frame | None, frame: Frame) -> Frame:
    """`frame`, with what `unread` brought and a newer one need not bring again."""
    kept = {name: unread.body[name] for name in RARE if name in unread.body} if unread else {}
    return Frame(frame.kind, {**kept, **frame.body}) if kept else frame
