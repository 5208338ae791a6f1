"""The seven experimental conditions of the thesis (chapter 4, Table 5.1), and the reader, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """One experiment: which images, which base network, and how much of it is trained."""

    key: str  # name in tables and file names
    title: str  # name in headings
    data: str  # {"original", "augmented"}: the karyograms as they are, or with their altered copies
    base: str  # {"VGG16", "InceptionV3"}; base network
    # {"head", "last-block", "last-two-blocks", "all"}; what is trained beside the head; see
    # :data:`karyo_lib.networks.models.CUTS`.
    trainable: str

    @property
    def fine_tuned(self) -> bool:
        return self.trainable != "head"


def _condition(key: str, title: str) -> Condition:
    data, base, trained = key.split("-", 2)
    base = {"vgg16": "VGG16", "inceptionv3": "InceptionV3"}[base]
    return Condition(key, title, data, base, {"frozen": "head", "full": "all"}.get(trained, trained))


CONDITIONS = (
    _condition("original-vgg16-frozen", "VGG16 frozen, original data"),
    _condition("original-inceptionv3-frozen", "InceptionV3 frozen, original data"),
    _condition("augmented-vgg16-frozen", "VGG16 frozen, augmented data"),
    _condition("augmented-inceptionv3-frozen", "InceptionV3 frozen, augmented data"),
    _condition("augmented-vgg16-last-block", "VGG16, last block trained, augmented data"),
    _condition("augmented-vgg16-last-two-blocks", "VGG16, last two blocks trained, augmented data"),
    _condition("augmented-inceptionv3-full", "InceptionV3, fully trained, augmented data"),
)


#: The method beside the thesis's seven: it finds, names, counts and compares chromosomes.
READER = Condition("reader", "Reader that comes with karyo", "", "", "")
TITLES = {condition.key: condition.title for condition in (*CONDITIONS, READER)}


def get_condition(key: str) -> Condition:
    for condition in CONDITIONS:
        if condition.key == key:
            return condition
    raise ValueError(f"Expected one of {', '.join(c.key for c in CONDITIONS)}. Received {key!r}.")
