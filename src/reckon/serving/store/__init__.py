"""What the service remembers, in SQLite or PostgreSQL.

Entry point: `reckon.serving.store.store.Store`. Records are dataclasses of `records`, conditions on events are in
`conditions`; neither needs SQLAlchemy. Every call is synchronous, may come from any thread, and is one transaction.
Every failure is a `StoreError` (of `errors`; a `ReckonError`), in one line and without the password of the address;
the next call works again as soon as the disk or the server does. Times are aware; they come back in UTC, to the
microsecond. What it cannot hold (a text with NUL or half a surrogate pair, a naive time, NaN) is a `ValueRefused`, a
`StoreError` of which the value is the cause.

    Store.open(url, *, create=True) -> Store        path, sqlite:///path, postgresql://… or postgres://…; where nothing
                                        is yet, the tables are made, or with create=False a StoreError is raised
    Store.close(); `with Store.open(url) as store`
    store.name: str                     the address without user and password
    store.check()                       one small read: raises StoreError where the store cannot be read now

    store.items                         (store.users likewise, with User)
      .put(items, *, replace=True)      replace=False leaves items alone that are there (auto_create)
      .change(id, change) -> Item | None            change: Callable[[Item], Item], in one transaction; None: unknown
      .get(id) -> Item | None
      .some(ids) -> dict[str, Item]                 those that are there, by id
      .page(*, after=None, limit) -> list[Item]     by id (order of code points); after: an id, itself left out
      .all() -> Iterator[Item]                      every one, by id, some thousand at a time; holds no transaction open
      .count() -> int
      .latest(limit) -> list[str]                   ids, first stored last come first
      .delete(ids) -> list[str]                     those that were there. A user goes with events, answers, reasoning:
                                                    those of whom anything was there

    store.events
      .add(events, *, changing=None) -> list[bool]  True: new; False: an event of that id was there, or came earlier in
                                                    the same call. A new event makes the written reasoning of its user
                                                    stale and queues the user, unless it meets none of the conditions
                                                    `changing` (None: every event does)
      .load(batches) -> int                         many, fast, a transaction a batch; queues nobody; how many were new
      .missing(item_ids, user_ids) -> tuple[list[str], list[str]]       ids that the store lacks, in the order given
      .of_user(user_id, *, limit, conditions=None) -> list[UserEvent]   the latest `limit`, oldest first; order: time,
                                                                        then arrival
      .of_item(item_id, *, limit, without_user=None, conditions=None) -> list[UserEvent]    likewise
      .mean_value(*, user_id=None, item_id=None, without_user=None, conditions=None) -> float | None
      .item_counts(*, conditions=None, since=None) -> dict[str, int]    events by item, most first
      .recent(limit, *, before=None, after=None) -> list[tuple[int, UserEvent]]     newest arrival first, with their
                                                    numbers of arrival; before: older than that number; after: newer
      .count() -> int
      conditions: a sequence of Condition, of which an event meets at least one; None: every event

    store.answers
      .put(answer)                      insert or replace
      .change(id, change) -> Answer | None
      .get(id) -> Answer | None
      .drop(before: datetime) -> int    answers created earlier, away; how many

    store.nearline                      reasoning written in advance, and the queue of users who wait for it
      .waiting(limit) -> list[Waiting]  longest waiting first: user_id, changes, since. Takes nobody off the queue
      .put(written) -> bool             `written.changes` is what the reasoning knows of: that of the Waiting, or
                                        `changes(user_id)` read before the history. False, and nothing kept: newer
                                        reasoning is there, or the user was deleted meanwhile
      .done(waiting) -> bool            off the queue, unless an event came meanwhile (False)
      .queue(user_ids)                  put users on the queue (a new model, reasoning too old)
      .changes(user_id) -> int          counter of the user's changes; 0 for one without
      .get(user_id, model) -> WrittenReasoning | None           `stale`: an event came since
      .drop(before: datetime) -> int    reasoning created earlier, away
      .waiting_count() -> int; .oldest_waiting() -> datetime | None

    store.keys    .add(key) (ValueRefused where the name is taken), .all() -> list[Key], .remove(name) -> bool
    store.facts   .get(name) -> str | None, .set(name, value)
"""
