"""The item term: scored items, log-probabilities and gradients."""

import pytest
import torch
from support.shelf import recommender
from support.tiny import backbone
from transformers import TrainerCallback

from reckon.data.examples import Event, Example
from reckon.methods.r2ec.config import HeadConfig
from reckon.methods.r2ec.item_term import ItemTerm
from reckon.methods.r2ec.trainer import fit
from reckon.models.rec_head import encode_rows, user_vectors

ITEMS = 8
TAU = 0.1


def example(target, history=()):
    return Example("u", tuple(Event(item, None, None) for item in history), target, None)


def log_prior(seed=0):
    return torch.rand(ITEMS, generator=torch.Generator().manual_seed(seed)).add(0.2).log().log_softmax(0)


def item_term(bone=None, **head):
    generator = torch.Generator().manual_seed(3)
    prompts = [torch.randint(3, 300, (4 + item % 3,), generator=generator).tolist() for item in range(ITEMS)]
    return ItemTerm(bone or backbone(), HeadConfig(**{"tau": TAU, "exclude_seen": False} | head), prompts, log_prior())


def begin(term, examples, seed=0):
    term.begin(examples, torch.Generator().manual_seed(seed))


def hidden_of(bone, count):
    generator = torch.Generator().manual_seed(5)
    return bone.last_hidden(bone.pad([torch.randint(3, 300, (6,), generator=generator).tolist() for _ in range(count)]))


def expected_logprobs(term, hidden, examples, columns, hide=lambda row: ()):
    """Straight from the definition, one example and one item at a time."""
    rows = encode_rows(term.backbone, [term.item_prompts[item] for item in columns])
    found = []
    for row, user in enumerate(user_vectors(hidden)):
        scores = {item: user @ rows[place] / TAU for place, item in enumerate(columns) if item not in hide(row)}
        found.append(scores[examples[row].target] - torch.stack(list(scores.values())).logsumexp(0))
    return torch.stack(found)


def test_an_item_that_is_several_targets_is_one_column():
    """Two columns of one item would make a target its own negative."""
    term, examples = item_term(), [example(5), example(2), example(5), example(5)]
    begin(term, examples)
    assert term.columns.tolist() == [2, 5]
    with torch.no_grad():
        hidden = hidden_of(term.backbone, 4)
        torch.testing.assert_close(
            term.target_logprobs(hidden, examples),
            expected_logprobs(term, hidden, examples, [2, 5]),
            rtol=1e-4,
            atol=1e-4,
        )


def test_a_batch_of_one_item_has_a_loss_of_zero():
    term = item_term()
    begin(term, [example(5)] * 3)
    assert term.target_logprobs(hidden_of(term.backbone, 3), [example(5)] * 3).tolist() == [0.0, 0.0, 0.0]


def test_drawn_items_that_are_targets_stay_one_column():
    term = item_term(sampled_negatives=200)
    begin(term, [example(5), example(2)])
    assert term.columns.tolist() == list(range(ITEMS))


def test_the_items_of_an_update_follow_from_the_generator():
    term, drawn = item_term(sampled_negatives=2), []
    for seed in (0, 0, 1, 2, 3):
        begin(term, [example(5)], seed)
        drawn.append(tuple(term.columns.tolist()))
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1


def test_excluded_items_are_no_negatives():
    examples = [example(5, (2, 3)), example(2, (7,)), example(3, (5,))]
    for exclude, hide in ((True, [{2, 3}, {7}, {5}]), (False, [set()] * 3)):
        term = item_term(exclude_seen=exclude)
        begin(term, examples)
        with torch.no_grad():
            hidden = hidden_of(term.backbone, 3)
            expected = expected_logprobs(term, hidden, examples, [2, 3, 5], hide=hide.__getitem__)
            torch.testing.assert_close(term.target_logprobs(hidden, examples), expected, rtol=1e-4, atol=1e-4)


def test_an_excluded_target_has_probability_zero_in_loss_and_reward():
    again = [example(3, (3, 5)), example(2, (7,)), example(5, (2, 3, 5))]
    term = item_term(exclude_seen=True)
    begin(term, again)
    with torch.no_grad():
        logprobs = term.target_logprobs(hidden_of(term.backbone, 3), again)
    assert logprobs.isneginf().tolist() == [True, False, True]


def kept_for_the_backward_pass(run):
    """The most bytes that a forward and backward pass keep at one time for the gradient."""
    held, most = 0, 0

    def pack(tensor):
        nonlocal held, most
        held += tensor.numel() * tensor.element_size()
        most = max(most, held)
        return tensor

    def unpack(tensor):
        nonlocal held
        held -= tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        run()
    return most


def test_the_item_term_keeps_the_graph_of_one_chunk_whatever_the_number_of_items(monkeypatch):
    kept = []
    for copies in (1, 4):
        term = item_term(negatives="catalog")
        term.item_prompts = list(term.item_prompts) * copies
        term.log_prior = torch.full((len(term.item_prompts),), -1.0)
        monkeypatch.setattr("reckon.methods.r2ec.item_term.CHUNK_TOKENS", 16)
        begin(term, [example(5)])
        term._leaf.grad = torch.ones_like(term._leaf)
        kept.append(kept_for_the_backward_pass(term.finish))
    assert 0 < kept[1] <= 1.1 * kept[0]


def test_refresh_returns_the_distance_of_moved_rows():
    term, examples = item_term(), [example(5), example(2)]
    begin(term, examples)
    vectors = torch.zeros(ITEMS, term.backbone.hidden_size)
    assert term.refresh(vectors).tolist() == pytest.approx([1.0, 1.0])  # unit rows, from nothing
    assert term.refresh(vectors).abs().max() < 1e-5


def test_catalog_mode_scores_every_item():
    term, examples = item_term(negatives="catalog"), [example(5), example(2)]
    begin(term, examples)
    assert term.columns.tolist() == list(range(ITEMS))
    with torch.no_grad():
        hidden = hidden_of(term.backbone, 2)
        torch.testing.assert_close(
            term.target_logprobs(hidden, examples),
            expected_logprobs(term, hidden, examples, range(ITEMS)),
            rtol=1e-4,
            atol=1e-4,
        )


def test_catalog_mode_equals_the_scores_of_the_recommender():
    term = item_term(negatives="catalog", popularity_prior=0.5)
    begin(term, [example(5)])
    with torch.no_grad():
        hidden = hidden_of(term.backbone, 1)
        rows = encode_rows(term.backbone, term.item_prompts)
        scores = (user_vectors(hidden) / TAU) @ rows.T + 0.5 * term.log_prior
        torch.testing.assert_close(term.target_logprobs(hidden, [example(5)]), scores.log_softmax(-1)[:, 5])


def gradients(bone):
    return {name: p.grad.clone() for name, p in bone.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("parts", [1, 3], ids=["whole", "micro-batches"])
@pytest.mark.parametrize("head", [{}, {"negatives": "catalog"}], ids=["in-batch", "catalog"])
def test_the_gradient_through_the_leaf_equals_plain_autograd(head, parts):
    bone, examples = backbone(), [example(5), example(2), example(5)]
    term = item_term(bone, **head)
    columns = range(ITEMS) if head else [2, 5]
    (-expected_logprobs(term, hidden_of(bone, 3), examples, columns).sum()).backward()
    direct = gradients(bone)
    bone.model.zero_grad()
    begin(term, examples)
    for rows in torch.arange(3).chunk(parts):
        hidden = hidden_of(bone, 3)[rows]
        (-term.target_logprobs(hidden, [examples[row] for row in rows.tolist()]).sum()).backward()
    term.finish()
    collected = gradients(bone)
    assert collected.keys() == direct.keys()
    for name, gradient in direct.items():
        relative = (collected[name] - gradient).norm() / gradient.norm().clamp_min(1e-9)
        assert relative < 1e-4, f"{name}: {relative:.1e}"


def test_refreshed_rows_equal_the_present_encoding():
    term = item_term()
    begin(term, [example(5), example(2)])
    term.finish()
    with torch.no_grad():
        for parameter in term.backbone.model.parameters():
            parameter.mul_(0.9)
        expected = encode_rows(term.backbone, [term.item_prompts[2], term.item_prompts[5]])
    vectors = torch.zeros(ITEMS, term.backbone.hidden_size)
    term.refresh(vectors)
    torch.testing.assert_close(vectors[[2, 5]], expected)
    assert vectors[[0, 1, 3, 4, 6, 7]].eq(0).all() and not vectors.requires_grad


class FixedRows(ItemTerm):
    """Items whose rows are given, so that thousands of draws cost nothing."""

    def _encode(self):
        return torch.eye(ITEMS)[self._columns]


@pytest.mark.parametrize(("batch", "drawn", "weight"), [(3, 0, 1.0), (3, 2, 0.0), (2, 4, 1.0), (1, 3, 0.5)])
def test_the_sampling_correction_makes_the_denominator_unbiased(batch, drawn, weight):
    """The mean over batches of the estimated partition function is the one over the whole catalog."""
    prior = log_prior()
    head = HeadConfig(tau=1.0, popularity_prior=weight, sampled_negatives=drawn, exclude_seen=False)
    term = FixedRows(backbone(), head, [[3]] * ITEMS, prior)
    hidden = torch.linspace(-1, 2, ITEMS)[None]
    scores = torch.nn.functional.normalize(hidden)[0] + weight * prior
    generator, target, estimates = torch.Generator().manual_seed(0), 3, []
    for _ in range(2500):
        others = torch.multinomial(prior.exp(), batch, replacement=True, generator=generator).tolist()[1:]
        examples = [example(item) for item in [target, *others]]
        term.begin(examples, generator)
        logprob = term.target_logprobs(hidden, examples[:1])[0]
        estimates.append((scores[target] - logprob).exp().item())
    estimates = torch.tensor(estimates)
    standard_error = estimates.std() / len(estimates) ** 0.5
    assert abs(estimates.mean() - scores.exp().sum()) < 4 * standard_error


def test_one_row_without_other_items_is_finite():
    term = item_term(popularity_prior=1.0)
    begin(term, [example(5)])
    assert term.target_logprobs(hidden_of(term.backbone, 1), [example(5)]).tolist() == [0.0]


class KeepGradients(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("arm", ["full", "no-reasoning"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"lora": 2}, {"head": {"tau": 0.1, "sampled_negatives": 3}}],
    ids=["plain", "lora", "sampled negatives"],
)
def test_micro_batch_size_does_not_change_the_gradient_of_a_training_step(arm, changes, tmp_path):
    found = []
    for size in (3, 8):
        torch.manual_seed(0)  # adapters start at random
        model, data = recommender(
            tmp_path / str(size), arm, batch_size=8, micro_batch_size=size, max_steps=1, max_grad_norm=1e9, **changes
        )
        callback = KeepGradients()
        fit(model, data, tmp_path / f"run{size}", progress=False, callbacks=[callback])
        found.append(callback.gradients)
    norm = torch.stack([gradient.norm() for gradient in found[0].values()]).norm()
    assert norm > 0
    assert found[1].keys() == found[0].keys()
    difference = torch.stack([(found[1][name] - found[0][name]).norm() for name in found[0]]).norm()
    assert difference / norm < 1e-4


def test_the_gradient_of_items_does_not_depend_on_chunks(monkeypatch):
    found = []
    for tokens in (2048, 6):
        monkeypatch.setattr("reckon.methods.r2ec.item_term.CHUNK_TOKENS", tokens)
        bone = backbone()
        bone.model.train()
        term = item_term(bone, negatives="catalog")
        begin(term, [example(5)])
        with torch.no_grad():
            hidden = hidden_of(bone, 1)
        (-term.target_logprobs(hidden, [example(5)]).sum()).backward()
        term.finish()
        assert all(module.training for module in bone.model.modules())
        found.append(gradients(bone))
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)


def test_the_encoders_graph_is_freed_between_micro_batches():
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.nbytes) or tensor, lambda t: t):
        begin(item_term(negatives="catalog"), [example(5)])
    assert not saved
