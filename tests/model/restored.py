"""A snapshot put in the place of a directory by a person's word, at its home: who else may come meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.explore import Move
from tests.model.homes import FREE, HELD, Ask, Homes, Host, World, _host, _name

OFF = "DISABLED or MANUAL_REVIEW"


class Restored(Homes):
    """Beside rule 18: no token, and the profile is not free but a person's."""

    NAME = "restored"

    def start(self) -> World:
        return World(grants=2, attempts=int(self.large), restores=1, switches=3)

    def moves(self, s: World) -> Iterator[Move[World]]:
        yield from super().moves(s)
        yield from self.person_moves(s)
        for index, host in enumerate(s.hosts):
            yield from self.host_restores(s, index, host)

    def person_moves(self, s: World) -> Iterator[Move[World]]:
        if s.switches:
            if s.state == HELD:
                story = f"hold {s.revision} was suspected; its host stayed silent, and it is left to a person"
                yield Move(story, _switched(s, OFF), must=False)
            elif s.state == FREE:
                yield Move("an administrator disables the profile", _switched(s, OFF), must=False)
            else:
                yield Move("a person takes the profile back into use", _switched(s, FREE), must=False)
        may = s.state == OFF or not self.keeps("rule18-restore-a-persons-word")
        if may and s.restores:
            asked = s._replace(restores=s.restores - 1, wanted=(*s.wanted, s.revision))
            yield Move(f"a person who has read revision {s.revision} asks for a restore", asked, must=False)

    def host_restores(self, s: World, index: int, host: Host) -> Iterator[Move[World]]:
        """It looks, and then it replaces the directory; nothing else passes its queue in between."""
        if host.swap:
            yield self._replaces(s, index, host)
            return
        for revision in s.wanted:
            rest = s._replace(wanted=tuple(each for each in s.wanted if each != revision))
            as_read = s.revision == revision or not self.keeps("rule18-restore-compares-record")
            persons = s.state == OFF or not self.keeps("rule18-restore-a-persons-word")
            story = f"{_name(index)} looks for the restore of revision {revision}"
            if s.home == index and as_read and persons:
                yield Move(f"{story}: a person has it", _host(rest, index, host._replace(swap=revision)))
            else:
                yield Move(f"{story}: refused", rest)

    def _replaces(self, s: World, index: int, host: Host) -> Move[World]:
        revision, wrong = host.swap, ""
        if host.chrome and s.state == HELD and s.driven == s.revision:
            wrong = "a directory is replaced under its owner"
        elif s.driven > revision:
            wrong = "restored over what nobody had read"
        floor = max(host.floor, revision) if self.keeps("rule18-restore-floor-first") else host.floor
        # What was restored is what counts from here on, and a copy of what was before is an old one.
        after = host._replace(swap=0, floor=floor, chrome=False, copy=s.newest + 1)
        story = f"{_name(index)} restores the profile as of revision {revision}"
        done = _host(s, index, after)._replace(newest=s.newest + 1, restored=revision)
        return Move(story, done, wrong=wrong)

    def owner_closes(self, s: World, index: int, host: Host) -> Iterator[Move[World]]:
        if not self._in_the_queue(host):
            yield from super().owner_closes(s, index, host)

    def mover_retires(self, s: World, index: int, host: Host) -> Iterator[Move[World]]:
        if not self._in_the_queue(host):
            yield from super().mover_retires(s, index, host)

    def _in_the_queue(self, host: Host) -> bool:
        """Whether a restore has the host's queue, which a verify's answer needs too."""
        return bool(host.swap) and self.keeps("rule18-restore-in-the-queue")

    def host_verifies(self, s: World, index: int, host: Host) -> Iterator[Move[World]]:
        answered = host.asked is not None and host.asked.current is not None
        if not (answered and self._in_the_queue(host)):
            yield from super().host_verifies(s, index, host)

    def _answer_arrives(self, s: World, index: int, host: Host, ask: Ask) -> Move[World]:
        move = super()._answer_arrives(s, index, host, ask)
        at = move.after.hosts[index]
        if not (at.chrome and at.floor == ask.token):
            return move
        wrong = move.wrong
        if s.restored and ask.token <= s.restored:
            wrong = "a token of before drives what was restored"
        return move._replace(after=move.after._replace(driven=max(s.driven, ask.token)), wrong=wrong)


def _switched(s: World, state: str) -> World:
    return s._replace(state=state, revision=s.revision + 2, switches=s.switches - 1)
