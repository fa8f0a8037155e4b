//! The record of what ran: a folder for each run and one line in `manifest.jsonl` at its start and one at its end.
