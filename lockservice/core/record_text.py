"""A profile's record as it is stored: what `document` would write, in a quarter of the time.

Every transition writes one. So its fields are spelt out here once more, in the order of their classes.
"""

from __future__ import annotations

from json.encoder import encode_basestring as quoted

from lockservice.core.document import VERSION, remember
from lockservice.core.record import Holding, Origin, Record, State

_BEGUN = {state: f'{{"v":{VERSION},"state":"{state.value}","epoch":' for state in State}


def encode_record(record: Record) -> bytes:
    """Return a record as stored."""
    text = (
        f'{_BEGUN[record.state]}{record.epoch},"since_ms":{record.since_ms}'
        f',"as_sent":{quoted(record.as_sent)}'
    )
    if record.holding is not None:
        text += f',"holding":{{{_holding(record.holding)}}}'
    if record.home:
        text += f',"home":{quoted(record.home)}'
    if record.used:
        text += ',"used":true'
    if record.flushed_ms:
        text += f',"flushed_ms":{record.flushed_ms}'
    if record.incident:
        text += f',"incident":{record.incident}'
    if record.failed_attempts:
        text += f',"failed_attempts":{record.failed_attempts}'
    if record.resume_until_ms:
        text += f',"resume_until_ms":{record.resume_until_ms}'
    if record.resume_plan is not None:
        text += f',"resume_plan":{quoted(record.resume_plan)}'
    if record.acknowledged:
        text += ',"acknowledged":true'
    if record.evidence_missing:
        text += ',"evidence_missing":true'
    if record.touched:
        text += ',"touched":true'
    data = f"{text}}}".encode()
    remember(data, record)
    return data


def _holding(holding: Holding) -> str:
    text = (
        f'"worker":{quoted(holding.worker)},"worker_create":{holding.worker_create}'
        f',"request_id":{quoted(holding.request_id)},"run_id":{quoted(holding.run_id)}'
        f',"as_sent":{quoted(holding.as_sent)}'
        f',"granted_ms":{holding.granted_ms},"deadline_ms":{holding.deadline_ms}'
    )
    if holding.workflow_id:
        text += f',"workflow_id":{quoted(holding.workflow_id)}'
    if holding.proxy_key:
        text += f',"proxy_key":{quoted(holding.proxy_key)}'
    if holding.origin is not Origin.NEW:
        text += f',"origin":{quoted(holding.origin.value)}'
    if holding.attempt != 1:
        text += f',"attempt":{holding.attempt}'
    if holding.plan:
        text += f',"plan":{quoted(holding.plan)}'
    if holding.restartable:
        text += ',"restartable":true'
    return text
