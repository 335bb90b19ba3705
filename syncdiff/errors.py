"""The two kinds of errors, the user's (the run stops) and a clip's (the run goes on), and how they are printed."""


class UserError(Exception):
    """Something that the user can mend: one line naming the file or key, what is wrong, and what to do.

    The command line prints it without a traceback and exits with 1.
    """


class ClipRejected(Exception):
    """One clip cannot be used: its ledger row gets this reason, and the corpus goes on without it."""


def escape(message: str) -> str:
    """Return a message as one line that can be printed: names in it may hold line breaks and worse."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
