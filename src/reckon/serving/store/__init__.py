"""What the service remembers, in SQLite or PostgreSQL.

Entry point: `reckon.serving.store.store.Store`. Its parts:

    store.items, store.users    records by id: put, change, get, some, page, all, count, delete (`entities`)
    store.events                add, load, missing, of_user, item_counts, recent (`events`, `conditions`)
    store.answers               put, change, get, drop (`answers`)
    store.nearline              reasoning written in advance, and the queue for it: waiting, put, done (`nearline`)
    store.keys, store.facts     API keys; texts that the service notes of itself (`keys`)

`dump` makes JSON lines of all that and reads them, `migrations` holds the versions of the tables, `database` what
SQLite and PostgreSQL need to be alike. `records`, `conditions` and `errors` need no SQLAlchemy.

Every call is synchronous, may come from any thread, and is one transaction (`Events.load` and `Entities.all`: one a
batch). Every failure is a `StoreError` in one line, without the password of the address; the next call works as soon
as the disk or the server does. Times are aware, and come back in UTC to the microsecond; lists come back as tuples.
What a store cannot hold (a text with NUL or half of a surrogate pair, a naive time, NaN) raises `ValueRefused`, which
is a `StoreError`, too.
"""
