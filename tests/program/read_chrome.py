#!/usr/bin/env python3
"""Reads a trace as Perfetto's importer of JSON does, by the Trace Event Format, and fails on what that would count as an error: a slice of
negative duration, slices of a track that overlap without lying in each other, an arrow without both ends, or whose end no slice encloses, or that
runs back in time, or a number that stands twice. Prints: slices, tracks, arrows."""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    events = json.load(file)["traceEvents"]

tracks, starts, ends, named = {}, {}, {}, set()
for event in events:
    track = (event["pid"], event["tid"])
    if event["ph"] == "X":
        assert event["dur"] >= 0 and event["ts"] >= 0, f"a slice of negative duration or time: {event}"
        tracks.setdefault(track, []).append((event["ts"], event["ts"] + event["dur"], event["name"]))
    elif event["ph"] in "sf":
        side = starts if event["ph"] == "s" else ends
        assert event["id"] not in side, f"arrow {event['id']} stands twice"
        side[event["id"]] = (track, event)
    elif event["ph"] == "M":
        named.add(track if event["name"] == "thread_name" else event["pid"])
    else:
        raise AssertionError(f"an event of kind {event['ph']}")

for track, slices in tracks.items():
    assert track in named and track[0] in named, f"track {track} has no name"
    slices.sort(key=lambda s: (s[0], -s[1]))
    open_until = []
    for begin, end, name in slices:
        while open_until and open_until[-1] <= begin + 1e-6:  # the file has whole nanoseconds
            open_until.pop()
        assert not open_until or end <= open_until[-1] + 1e-6, f"'{name}' at {begin} on {track} outlasts what it began in"
        open_until.append(end)

assert starts.keys() == ends.keys(), f"arrows without both ends: {starts.keys() ^ ends.keys()}"
for number, (track, start) in starts.items():
    end_track, end = ends[number]
    assert end["bp"] == "e" and end["ts"] >= start["ts"], f"arrow {number} runs back"
    for where, event in ((track, start), (end_track, end)):
        assert any(b <= event["ts"] < e for b, e, _ in tracks.get(where, [])), f"arrow {number}: no slice encloses {event}"

print(sum(map(len, tracks.values())), len(tracks), len(starts))
