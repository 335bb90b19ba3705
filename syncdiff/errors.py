"""The two ways in which an input can be wrong: the user's (the run stops) and a clip's (the run goes on)."""


class UserError(Exception):
    """Something that the user can mend: one line naming the file or key, what is wrong, and what to do.

    The command line prints it without a traceback and exits with 1.
    """


class ClipRejected(Exception):
    """One clip cannot be used: its ledger row gets this reason, and the corpus goes on without it."""
