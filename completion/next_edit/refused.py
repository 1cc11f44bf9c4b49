"""Why a change that was recognised leads to no proposal."""

STILL_DEFINED = "the old name is still defined"
NOT_SURE = "the name also stands where its meaning is not sure"
CAUGHT = "the new name means something else there"
BROKEN = "the code around it does not parse"
NOT_OURS = "the name is not defined in this file"
INHERITED = "a base class defines the name"
NO_VALUE = "no value is known for the new argument"
OPTIONAL = "calls need not give the parameter"
NOTHING_LEFT = "no other place is left"
AMBIGUOUS = "the change has more than one meaning"


class Refused(Exception):
    """The reason is its text."""
