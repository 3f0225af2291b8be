"""256 short English words for codes: eight bits each, easy to say and to spell."""

from __future__ import annotations

from typing import Final

_TEXT: Final = """
acorn album alder amber anchor anvil apple apron arbor arrow aspen atlas attic autumn badge bagel bamboo banjo
barley basil basket beacon beaver bell berry bicycle birch biscuit bison blanket blossom bonfire bottle bramble
brass bread breeze brick bridge bronze brook bucket butter button cabin cactus camel candle canoe canyon carbon
cargo carpet carrot castle cedar cello chalk cherry chess chimney cider cinema citrus clay cliff clock cloud clover
cobalt cobra cocoa comet copper coral cotton cradle crane crater cricket crystal cymbal daisy dancer delta denim
desert diamond dolphin domino donkey dragon drum eagle easel echo elbow elder ember engine falcon feather fern ferry
fiddle field flame flint flute forest fossil fountain fox galaxy garden garlic gazelle geyser ginger glacier globe
goose granite grape gravel guitar hammer harbor harp hazel heron hickory honey horizon hornet hotel igloo indigo
iris island ivory ivy jacket jaguar jasmine jelly jigsaw juniper kayak kettle kitchen kite koala ladder lagoon
lantern laurel lemon lentil leopard lilac lily linen lizard llama lobster locket lotus magnet mango maple marble
meadow melon mercury meteor mint mirror mitten monkey moose mosaic moss motor mountain museum mustard napkin needle
nickel nutmeg oak oasis ocean olive onion opal orange orbit orchard orchid otter oyster paddle panda paper parrot
pasta peach pebble pelican pencil pepper piano picnic pigeon pillow pine planet plum pocket poppy potato prairie
puzzle quartz quilt rabbit radio raven reef ribbon river robin rocket rose saddle saffron salmon sandal satin saturn
shell silver sparrow spruce thunder tiger tulip turtle velvet violin walnut willow winter zebra
"""

WORDS: Final = tuple(_TEXT.split())


def words_in(letters: str) -> list[str]:
    """The words that `letters` consists of, with nothing between them, and what is left over. No word of the list
    begins with another one, so there is only one way."""
    found = []
    while word := next((word for word in WORDS if letters.startswith(word)), ""):
        found.append(word)
        letters = letters[len(word) :]
    return [*found, letters] if letters else found
