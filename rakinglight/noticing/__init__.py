"""Who is stealing the model? What a key has asked, looked at query after query. Needs numpy alone.

`detector` is ours: bounded memory, one number, an alarm that stays. `prada` is Juuti et al. 2019 as published, to
compare with; its test needs scipy. These detectors look at what a key asks, one query after another;
`rakinglight.detector` is about something else, whether one picture is adversarial.
"""

from __future__ import annotations

from rakinglight.noticing.detector import Detector
from rakinglight.noticing.notice import Notice, Watcher, first_alarm

__all__ = ["Detector", "Notice", "Watcher", "first_alarm"]
