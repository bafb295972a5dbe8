"""Seed, cycle and address determine everything random (rules 9 to 11 of the design)."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import Dataset
from flazy.sample import SeededGlobals, key_of, rng_for


def draw(sample, rng):
    return sample, int(rng.integers(2**62))


def numbers(dataset):
    """Give the number that each sample drew."""
    return dict(dataset)


TWENTY = Dataset(range(20))
DRAWN = TWENTY.random_map(draw, seed=5)
SHUFFLED = TWENTY.shuffle(seed=5)
BUFFERED = TWENTY.shuffle(4, seed=5)
SAMPLED = TWENTY.sample(5, seed=5)

RANDOM = pytest.mark.parametrize("dataset", [DRAWN, SHUFFLED, BUFFERED, SAMPLED], ids=repr)


def afresh(dataset):
    """Give a dataset of the same plan that was never iterated."""
    return Dataset._of(dataset.node)


# Passes -----------------------------------------------------------------------------------------------


@RANDOM
def test_same_seed_gives_the_same_passes_in_the_same_order(dataset):
    one, other = afresh(dataset), afresh(dataset)

    assert [one.list() for _ in range(3)] == [other.list() for _ in range(3)]


@RANDOM
def test_every_pass_is_another(dataset):
    dataset = afresh(dataset)
    passes = [str(dataset.list()) for _ in range(5)]

    assert 5 == len({*passes})


@RANDOM
def test_epoch_is_fixed_and_is_that_pass(dataset):
    dataset = afresh(dataset)
    third = dataset.epoch(2)

    assert third.list() == third.list() == [dataset.list() for _ in range(3)][2]


@RANDOM
def test_repetitions_are_the_first_epochs(dataset):
    expected = [x for cycle in range(3) for x in dataset.epoch(cycle)]

    assert expected == afresh(dataset).repeat(3).list()
    assert expected == afresh(dataset).repeat().take(len(expected)).list()


@RANDOM
def test_second_pass_over_a_repeated_dataset_repeats_nothing(dataset):
    repeated = afresh(dataset).repeat(2)
    passes = repeated.list() + repeated.list()

    assert passes == [x for cycle in range(4) for x in dataset.epoch(cycle)]


@RANDOM
def test_stages_behind_epoch_are_fixed_too(dataset):
    fixed = dataset.epoch(3).shuffle(seed=1).random_map(draw, seed=2).sample(4, seed=3)

    assert fixed.list() == fixed.list()


@RANDOM
def test_looks_do_not_use_the_pass_up(dataset):
    dataset = afresh(dataset)
    dataset.first(), dataset.shape(), dataset.types(), dataset[1], dataset.take(3).list()

    assert dataset.epoch(0).list() == dataset.list()


def test_pass_that_was_opened_counts():
    dataset = afresh(SHUFFLED)
    dataset.open().close()
    next(iter(dataset))
    iter(dataset)

    assert SHUFFLED.epoch(2).list() == dataset.list()


def test_two_passes_at_once_are_two_cycles():
    dataset = afresh(SHUFFLED)
    pairs = [*zip(dataset, dataset, strict=True)]

    assert SHUFFLED.epoch(0).list() == [one for one, _ in pairs]
    assert SHUFFLED.epoch(1).list() == [other for _, other in pairs]


def test_each_derived_dataset_counts_its_own_passes():
    dataset = afresh(SHUFFLED)
    dataset.list()

    assert SHUFFLED.epoch(0).list() == dataset.map(lambda x: x).list()


# Seeds ------------------------------------------------------------------------------------------------


def test_without_a_seed_one_is_drawn_for_the_dataset():
    one, other = TWENTY.shuffle(), TWENTY.shuffle()

    assert one.epoch(0).list() == one.epoch(0).list()
    assert one.epoch(0).list() != other.epoch(0).list()


def test_other_seeds_give_other_numbers():
    assert 4 == len({str(TWENTY.random_map(draw, seed=seed).list()) for seed in (0, 1, 2, 2**32)})
    assert 4 == len({str(TWENTY.shuffle(seed=seed).list()) for seed in (0, 1, 2, 2**32)})


def test_stages_with_one_seed_draw_different_numbers():
    twice = TWENTY.random_map(draw, seed=1).random_map(lambda pair, rng: (pair[1], draw(0, rng)[1]), seed=1)

    assert all(first != second for first, second in twice)


# Addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moved",
    [
        lambda ds: ds.filter(lambda x: x % 2),
        lambda ds: ds.take(7),
        lambda ds: ds.skip(7),
        lambda ds: ds[3:15:4],
        lambda ds: ds.shuffle(seed=9),
        lambda ds: ds.shuffle(3, seed=9),
        lambda ds: ds.sample(6, seed=9),
        lambda ds: ds.sample(6, 4, seed=9),
        lambda ds: ds.cache(),
        lambda ds: ds.prefetch(2),
        lambda ds: ds.map(lambda x: x).map(lambda x: x),
        lambda ds: ds.enumerate().map(lambda pair: pair[1]),
        lambda ds: ds.serial(),
        lambda ds: ds.filter(lambda x: x % 2).map(abs).shuffle(seed=1).cache().skip(2),
    ],
)
def test_augmentation_follows_the_sample(moved):
    # The random stage is numbered behind the shuffles before it, so the reference has as many.
    dataset = moved(TWENTY)
    order = [*dataset.epoch(0)]
    stages_before = repr(dataset).count("shuffle") + repr(dataset).count("sample")
    plain = TWENTY
    for _ in range(stages_before):
        plain = plain.shuffle(1)

    found = dataset.random_map(draw, seed=5).list()

    assert len(order) == len(found) > 2
    assert order == [x for x, _ in found]
    assert numbers(found).items() <= numbers(plain.random_map(draw, seed=5)).items()


def test_added_map_changes_nothing():
    plain = TWENTY.shuffle(seed=1).random_map(draw, seed=2).shuffle(seed=3)
    longer = (
        TWENTY.map(abs).filter(lambda x: True).shuffle(seed=1).map(abs).random_map(draw, seed=2).map(lambda x: x)
    ).shuffle(seed=3)

    assert plain.list() == longer.list()


def test_samples_with_different_addresses_draw_different_numbers():
    twice = Dataset([7] * 5).flatmap(lambda x: [x] * 4).random_map(draw, seed=1).repeat(3)

    assert 60 == len({number for _, number in twice})


def test_branches_draw_different_numbers():
    joined = (TWENTY + TWENTY).random_map(draw, seed=1)
    taking_turns = Dataset.roundrobin([TWENTY, TWENTY]).random_map(draw, seed=1)

    assert 40 == len({number for _, number in joined})
    assert sorted(joined.epoch(0)) == sorted(taking_turns.epoch(0))


def test_shuffle_permutes_the_same_way_whatever_the_samples_are():
    assert [*"abcde"] == sorted(Dataset([*"abcde"]).shuffle(seed=1))
    order = Dataset(range(5)).shuffle(seed=1).list()

    assert ["abcde"[place] for place in order] == Dataset([*"abcde"]).shuffle(seed=1).list()


def test_copies_in_a_cache_are_augmented_differently():
    twice = TWENTY.repeat(2).cache().random_map(draw, seed=5)

    assert 40 == len({number for _, number in twice})


def test_cached_samples_are_augmented_anew_in_every_pass():
    dataset = TWENTY.cache().random_map(draw, seed=5)

    assert [numbers(DRAWN.epoch(cycle)) for cycle in range(3)] == [numbers(dataset) for _ in range(3)]


def test_what_was_drawn_before_a_cache_stays():
    dataset = TWENTY.random_map(draw, seed=5).cache()

    assert dataset.list() == dataset.list()


@given(seed=st.integers(0, 2**70), cycle=st.integers(0, 2**70), address=st.lists(st.integers(0, 2**70), max_size=4))
def test_generator_is_a_function_of_its_names(seed, cycle, address):
    one, other = (rng_for(seed, 3, cycle, tuple(address)).integers(2**62, size=2).tolist() for _ in range(2))
    next_seed = rng_for(seed + 1, 3, cycle, tuple(address)).integers(2**62, size=2).tolist()
    next_cycle = rng_for(seed, 3, cycle + 1, tuple(address)).integers(2**62, size=2).tolist()
    next_address = rng_for(seed, 3, cycle, (*address, 0)).integers(2**62, size=2).tolist()

    assert one == other
    assert 4 == len({tuple(drawn) for drawn in (one, next_seed, next_cycle, next_address)})


def test_keys_differ_by_order_and_count():
    addresses = [(), (0,), (0, 0), (1,), (1, 0), (0, 1), (2**64 - 1,)]

    assert len(addresses) == len({key_of(*address) for address in addresses})


def test_numbers_are_those_of_yesterday():
    """A changed generator would silently change everybody's experiments."""
    assert 9 == rng_for(1, 0, 0, (0,)).integers(100)
    assert 14 == rng_for(1, 2, 3, (4, 5)).integers(100)
    assert 17_973_103_972_163_397_483 == key_of(1, 2, 3)
    assert [0, 5, 4, 1, 2, 6, 3, 7] == Dataset(range(8)).shuffle(seed=1).list()
    assert [0, 2, 3, 5, 4, 6, 7, 1] == Dataset(range(8)).shuffle(3, seed=1).list()


# Global generators ------------------------------------------------------------------------------------


def careless(sample, rng):
    """Draw as existing augmentation code does."""
    return sample, random.random(), float(np.random.normal()), float(rng.random())


def test_global_generators_are_reproducible_inside_random_map():
    dataset = TWENTY.random_map(careless, seed=5)
    passes = [dataset.list() for _ in range(2)]
    random.seed(0)
    np.random.seed(0)

    assert passes == [dataset.epoch(cycle).list() for cycle in range(2)]
    assert 40 == len({drawn[1] for samples in passes for drawn in samples})
    assert 40 == len({drawn[2] for samples in passes for drawn in samples})


def test_global_generators_of_the_caller_go_on_undisturbed():
    def spoiling(sample, rng):
        random.seed(3)
        np.random.seed(3)
        return sample

    random.seed(1)
    np.random.seed(1)
    expected = [random.random(), random.random(), np.random.rand(), np.random.rand()]
    random.seed(1)
    np.random.seed(1)
    found = []
    for _ in TWENTY.random_map(spoiling, seed=5).take(2):
        found += [random.random(), np.random.rand()]

    assert expected == [found[0], found[2], found[1], found[3]]


def test_state_is_put_back_after_an_error():
    def failing(sample, rng):
        random.random()
        raise KeyError(sample)

    random.seed(1)
    expected = random.random()
    random.seed(1)
    with pytest.raises(KeyError):
        TWENTY.random_map(failing).list()

    assert expected == random.random()


def test_global_generators_can_be_left_alone():
    random.seed(1)
    expected = [random.random() for _ in range(3)]
    random.seed(1)

    assert expected == Dataset(range(3)).random_map(lambda x, rng: random.random(), seed_globals=False).list()


def test_global_generators_are_seeded_by_the_key():
    def drawn(key):
        with SeededGlobals(key):
            return random.random(), np.random.rand()

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(2**64 - 1) != drawn(2**32 - 1)


def test_numpy_key_uses_all_of_its_bits():
    def drawn(key):
        with SeededGlobals(key):
            return np.random.rand()

    assert drawn(1 << 40) != drawn(1 << 41)
