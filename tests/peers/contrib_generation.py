# SPDX-License-Identifier: Apache-2.0
"""BeamSearch, GreedySearch and Sampling of com.microsoft beside onnxruntime, on decoders of two small layers."""
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from peers import build, case

I32, F32, F16 = TensorProto.INT32, TensorProto.FLOAT, TensorProto.FLOAT16
VOCAB, HEADS, SIZE, LAYERS = 24, 2, 4, 2
HIDDEN = HEADS * SIZE
EOS, PAD, START = 7, 1, 2


def info(name, kind, *dims):
    return helper.make_tensor_value_info(name, kind, list(dims))


def weights(seed, **shapes):
    rng = np.random.default_rng(seed)
    return [numpy_helper.from_array(rng.normal(0, 1, s).astype(np.float32), n) for n, s in shapes.items()]


def ints(name, *v):
    return numpy_helper.from_array(np.array(v, np.int64), name)


def gpt(seed=0, half=None, batch="b", tokens="s", heads=HEADS, first="input_ids", shared=False, spoil=None):
    """half: "out": float16 logits; "through": logits rounded to float16."""
    nodes = [helper.make_node("Gather", ["words", first], ["w"]), helper.make_node("Gather", ["places", "position_ids"], ["p"]),
             helper.make_node("Add", ["w", "p"], ["h0"])]
    init = weights(seed, words=(VOCAB, HIDDEN), places=(64, HIDDEN), out=(HIDDEN, VOCAB))
    for i in range(LAYERS):
        init += weights(seed + 10 + i, **{f"w{i}": (HIDDEN, 3 * HIDDEN), f"b{i}": (3 * HIDDEN,)})
        nodes += [helper.make_node("Attention", [f"h{i}", f"w{i}", f"b{i}", "attention_mask", f"past_{i}"] +
                                   ["", "past_sequence_length"] * shared, [f"a{i}", f"present_{i}"], domain="com.microsoft",
                                   num_heads=HEADS, unidirectional=1, past_present_share_buffer=int(shared)),
                  helper.make_node("Add", [f"h{i}", f"a{i}"], [f"h{i + 1}"])]
    nodes.append(helper.make_node("MatMul", [f"h{LAYERS}", "out"], ["raw" if half else "logits"]))
    if half:
        nodes.append(helper.make_node("Cast", ["raw"], ["narrow" if half == "through" else "logits"], to=F16))
    if half == "through":
        nodes.append(helper.make_node("Cast", ["narrow"], ["logits"], to=F32))
    if spoil == "present":
        nodes.append(helper.make_node("Cast", ["present_0"], ["present_x"], to=F16))
    elif spoil == "flat":
        nodes.append(helper.make_node("ReduceMax", ["logits"], ["logits_x"], keepdims=0))
    elif spoil == "turned":
        nodes.append(helper.make_node("Transpose", ["logits"], ["logits_x"], perm=[1, 0, 2]))
    pasts = [info(f"past_{i}", F32, 2, batch, heads, "past", SIZE) for i in range(LAYERS)]
    pasts += [info("past_sequence_length", I32, 1)] * shared
    presents = [info(f"present_{i}", F32, 2, batch, heads, "total", SIZE) for i in range(LAYERS)]
    if spoil == "present":
        presents[0] = info("present_x", F16, 2, batch, heads, "total", SIZE)
    name = "logits_x" if spoil in ("flat", "turned") else "logits"
    ends = [info(first, I32, batch, tokens), info("position_ids", I32, batch, tokens), info("attention_mask", I32, batch, "total")]
    return helper.make_graph(nodes, "decoder", ends + pasts,
                             [info(name, F16 if half == "out" else F32, batch, tokens, VOCAB)] + presents, init)


def heads_of(x, y, suffix):
    """[b, s, HIDDEN] to [b, HEADS, s, SIZE]."""
    return [helper.make_node("Reshape", [x, "split"], [f"{y}_r{suffix}"]),
            helper.make_node("Transpose", [f"{y}_r{suffix}"], [y], perm=[0, 2, 1, 3])]


def mean_of(x, y, mask=None):
    """[b, HEADS, n, SIZE] to [b, 1, HIDDEN], a sum over n that knows the order of heads."""
    nodes, source = [], x
    if mask:
        nodes += [helper.make_node("Cast", [mask], [f"{y}_m"], to=F32),
                  helper.make_node("Unsqueeze", [f"{y}_m", "mask_axes"], [f"{y}_u"]), helper.make_node("Mul", [x, f"{y}_u"], [f"{y}_x"])]
        source = f"{y}_x"
    return nodes + [helper.make_node("ReduceSum", [source, "length_axis"], [f"{y}_s"], keepdims=0),
                    helper.make_node("Reshape", [f"{y}_s", "join"], [y])]


SHAPES = [ints("split", 0, 0, HEADS, SIZE), ints("join", 0, 1, HIDDEN), ints("mask_axes", 1, 3), ints("length_axis", 2)]


def encoder(joint=True, seed=5, whisper=False):
    nodes = [helper.make_node("Gather", ["words", "encoder_input_ids"], ["hidden"])]
    if whisper:
        nodes = [helper.make_node("Transpose", ["encoder_input_ids"], ["hidden"], perm=[0, 2, 1])]
    init = SHAPES + weights(seed, words=(VOCAB, HIDDEN), out=(HIDDEN, VOCAB), wk=(HIDDEN, HIDDEN), wv=(HIDDEN, HIDDEN))
    nodes += [helper.make_node("MatMul", ["hidden", "wk"], ["k"]), helper.make_node("MatMul", ["hidden", "wv"], ["v"])]
    nodes += heads_of("k", "present_key_cross_0", "e") + heads_of("v", "present_value_cross_0", "e")
    ends = [info("encoder_input_ids", I32, "b", "e"), info("encoder_attention_mask", I32, "b", "e")]
    cross = [info(f"present_{x}_cross_0", F32, "b", HEADS, "e", SIZE) for x in ("key", "value")]
    if not joint:
        return helper.make_graph(nodes, "encoder", ends, cross, init)
    nodes += mean_of("present_value_cross_0", "m", None if whisper else "encoder_attention_mask")
    if whisper:
        ends = [info("encoder_input_ids", F32, "b", HIDDEN, "e")]
    n = "s" if whisper else 1
    nodes += [helper.make_node("Gather", ["words", "decoder_input_ids"], ["d"]), helper.make_node("Add", ["d", "m"], ["x"]),
              helper.make_node("MatMul", ["x", "out"], ["logits"]), helper.make_node("Identity", ["hidden"], ["encoder_hidden_states"])]
    nodes += heads_of("x", "present_key_self_0", "s") + heads_of("d", "present_value_self_0", "s")
    outs = [info("logits", F32, "b", n, VOCAB), info("encoder_hidden_states", F32, "b", "e", HIDDEN)] + \
        [info(f"present_{x}_self_0", F32, "b", HEADS, n, SIZE) for x in ("key", "value")]
    return helper.make_graph(nodes, "encoder", ends + [info("decoder_input_ids", I32, "b", n)], outs + cross, init)


def decoder(tokens=1, hidden=False, seed=5, mask="encoder_attention_mask"):
    init = SHAPES + weights(seed, words=(VOCAB, HIDDEN), out=(HIDDEN, VOCAB), wk=(HIDDEN, HIDDEN))
    nodes = [helper.make_node("Gather", ["words", "input_ids"], ["all"])]
    if tokens != 1:
        init += [ints("from", -1), ints("to", 2 ** 31), ints("axis", 1)]
        nodes.append(helper.make_node("Slice", ["all", "from", "to", "axis"], ["d"]))
    else:
        nodes.append(helper.make_node("Identity", ["all"], ["d"]))
    nodes += [helper.make_node("MatMul", ["d", "wk"], ["k"])] + heads_of("k", "new_k", "k") + heads_of("d", "new_v", "v")
    nodes += [helper.make_node("Concat", ["past_key_self_0", "new_k"], ["present_key_self_0"], axis=2),
              helper.make_node("Concat", ["past_value_self_0", "new_v"], ["present_value_self_0"], axis=2)]
    nodes += mean_of("past_value_cross_0", "m", mask) + mean_of("present_key_self_0", "n")
    nodes += [helper.make_node("Add", ["d", "m"], ["dm"]), helper.make_node("Add", ["dm", "n"], ["x" if not hidden else "y"])]
    if hidden:
        nodes += [helper.make_node("ReduceSum", ["encoder_hidden_states", "axis"], ["hs"], keepdims=1), helper.make_node("Add", ["y", "hs"], ["x"])]
        init += [] if tokens != 1 else [ints("axis", 1)]
    nodes.append(helper.make_node("MatMul", ["x", "out"], ["logits"]))
    ends = [info("input_ids", I32, "b", tokens)] + ([info(mask, I32, "b", "e")] if mask else [])
    ends += [info("encoder_hidden_states", F32, "b", "e", HIDDEN)] if hidden else []
    ends += [info(f"past_{x}_{y}_0", F32, "b", HEADS, "p" if y == "self" else "e", SIZE) for y in ("self", "cross") for x in ("key", "value")]
    return helper.make_graph(nodes, "decoder", ends, [info("logits", F32, "b", 1, VOCAB)] +
                             [info(f"present_{x}_self_0", F32, "b", HEADS, "t", SIZE) for x in ("key", "value")], init)


def one(v, kind=np.int32):
    return None if v is None else np.array([v], kind)


BEAM_OUT = ("sequences", "sequences_scores", "scores")
TOKENS = np.array([[3, 9, 4, 12], [1, 1, 5, 6], [1, 11, 3, 3]], np.int32)


def node(op, inputs, outputs, attrs):
    return helper.make_node(op, [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)], list(outputs), domain="com.microsoft", **attrs)


def beam(name, ids=TOKENS[:2], maximum=12, minimum=0, beams=3, returned=2, penalty=1.0, repetition=1.0, vocab=None, prefix=None,
         mask=None, first=None, outputs=2, graph=None, tail=(), kind=np.float32, op="BeamSearch", expected=None, exit=0, names=None, **attrs):
    inputs = [ids, one(maximum), one(minimum), one(beams), one(returned), one(penalty, kind), one(repetition, kind), vocab, prefix, mask, first,
              *tail]
    while inputs[-1] is None:
        inputs.pop()
    attrs = {"eos_token_id": EOS, "pad_token_id": PAD, "decoder": graph or gpt(), **attrs}
    names = names or BEAM_OUT[:outputs]
    score = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return case(name, op, inputs, outputs=names, types=[I32] + [score] * (len(names) - 1), nodes=[node(op, inputs, names, attrs)],
                expected=expected, exit=exit)


def greedy(name, ids=TOKENS[:2], maximum=12, minimum=None, repetition=None, vocab=None, prefix=None, mask=None, presence=None, seed=None,
           op="GreedySearch", expected=None, exit=0, graph=None, outputs=1, **attrs):
    inputs = [ids, one(maximum), one(minimum), one(repetition, np.float32), vocab, prefix, mask, presence, one(seed)]
    while inputs[-1] is None:
        inputs.pop()
    attrs = {"eos_token_id": EOS, "pad_token_id": PAD, "decoder": graph or gpt(), **attrs}
    names = ("sequences", "filtered")[:outputs]
    return case(name, op, inputs, outputs=names, types=[I32, F32][:outputs], nodes=[node(op, inputs, names, attrs)], expected=expected, exit=exit)


def asked(c):
    """What onnxruntime says of another case."""
    feeds = {f"x{i}": a for i, a in enumerate(c["inputs"]) if a is not None}
    return ort.InferenceSession(build(c, False).SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)


def allowed(*tokens, shape=(VOCAB,)):
    m = np.ones(shape, np.int32)
    m[..., list(tokens)] = 0
    return m


def beam_cases():
    yield beam("one_row", TOKENS[:1])
    yield beam("three_rows", TOKENS, early_stopping=1)
    yield beam("one_beam", TOKENS[:1], beams=1, returned=1)
    yield beam("one_beam_rows", TOKENS, beams=1, returned=1, early_stopping=1)
    for eos in range(0, VOCAB, 3):
        yield beam(f"ends_{eos}", TOKENS[:1], beams=4, returned=4, maximum=16, eos_token_id=eos)
        yield beam(f"ends_{eos}_rows", TOKENS, beams=4, returned=4, maximum=16, eos_token_id=eos)
        yield beam(f"stops_{eos}", TOKENS, beams=4, returned=4, maximum=16, eos_token_id=eos, early_stopping=1)
    for penalty in (0.0, 0.5, 2.0, -1.0):
        yield beam(f"length_penalty_{penalty}", TOKENS[:1], beams=4, returned=4, penalty=penalty)
    yield beam("no_length_penalty", TOKENS[:1], penalty=None, repetition=None, expected=asked(beam("x", TOKENS[:1])))
    for repetition in (0.5, 1.5, 4.0):
        yield beam(f"repetition_{repetition}", early_stopping=1, repetition=repetition, maximum=16)
    for n in (1, 2, 3, 9, 40):
        yield beam(f"ngram_{n}", early_stopping=1, no_repeat_ngram_size=n, maximum=16)
    yield beam("min_length", TOKENS[:1], minimum=9)
    yield beam("min_max_length", TOKENS[:1], minimum=11)
    yield beam("vocab_mask", vocab=allowed(0, 3, 7, 8, 20), early_stopping=1)
    yield beam("prefix_mask", prefix=np.stack([allowed(0, 3, 7), allowed(*range(12))]), early_stopping=1)
    yield beam("attention_mask", mask=np.array([[0, 1, 0, 1], [1, 1, 1, 1]], np.int32), early_stopping=1)
    yield beam("all", vocab=allowed(EOS), prefix=allowed(5, 6, shape=(2, VOCAB)), repetition=1.3, no_repeat_ngram_size=2, minimum=8,
               penalty=0.7, outputs=3, beams=4, returned=3, maximum=20)
    yield beam("scores", vocab=allowed(EOS), outputs=3)
    yield beam("init_decoder", init_decoder=gpt(1), early_stopping=1)
    yield beam("vocab_size", vocab_size=VOCAB, early_stopping=1)
    yield beam("long", TOKENS[:1], maximum=60, beams=5, returned=5, minimum=50)
    yield beam("many_beams", TOKENS[:1], beams=40, returned=40)
    half = dict(early_stopping=1)
    yield beam("half_logits", graph=gpt(half="out"), expected=asked(beam("x", graph=gpt(half="through"), **half)), **half)
    full = asked(beam("x", early_stopping=1))
    yield beam("half_scores", early_stopping=1, kind=np.float16, expected=[full[0], full[1].astype(np.float16)])
    rows = [asked(beam("x", TOKENS[i:i + 1], beams=4, returned=4, maximum=16, eos_token_id=9)) for i in range(3)]
    yield beam("rows_alone", beams=4, returned=4, maximum=16, eos_token_id=9, ids=TOKENS, expected=[np.concatenate(x) for x in zip(*rows)])
    yield beam("other_names", graph=gpt(first="ids"), early_stopping=1, expected=full)
    yield beam("shared_pasts", graph=gpt(shared=True), early_stopping=1, expected=full)
    none = [np.zeros((0, 2, 12), np.int32), np.zeros((0, 2), np.float32), np.zeros((8, 0, 3, VOCAB), np.float32)]
    yield beam("no_rows", TOKENS[:0], expected=none, outputs=3, vocab_size=VOCAB)


def t5_cases():
    common = dict(model_type=1, decoder_start_token_id=START)
    for name, ids in (("one", TOKENS[:1]), ("rows", TOKENS)):
        more = dict(common, early_stopping=1)
        yield beam(f"t5_{name}", ids, graph=decoder(), encoder=encoder(), **more)
        yield beam(f"t5_{name}_whole", ids, graph=decoder(tokens="t"), encoder=encoder(), **more)
        yield beam(f"t5_{name}_hidden", ids, graph=decoder(hidden=True), encoder=encoder(), **more,
                   expected=None)
        yield beam(f"t5_{name}_scores", ids, graph=decoder(), encoder=encoder(), vocab=allowed(EOS), outputs=3, beams=4, **common)
        yield beam(f"t5_{name}_cross", ids, graph=decoder(), encoder=encoder(False), **more)
        yield beam(f"t5_{name}_cross_whole", ids, graph=decoder(tokens="t"), encoder=encoder(False), **more)
    yield beam("t5_mask", graph=decoder(), encoder=encoder(), mask=np.array([[0, 1, 0, 1], [1, 1, 1, 0]], np.int32), **common, early_stopping=1)
    yield beam("t5_pad_at_end", np.array([[3, 4, 1, 1]], np.int32), graph=decoder(), encoder=encoder(), **common)
    yield greedy("t5_greedy", graph=decoder(), encoder=encoder(), vocab=allowed(EOS), **common,
                 expected=[asked(beam("x", graph=decoder(), encoder=encoder(), vocab=allowed(EOS), beams=1, returned=1, **common))[0][:, 0]])
    features = np.random.default_rng(4).normal(size=(2, HIDDEN, 6)).astype(np.float32)
    more = dict(model_type=2, decoder_start_token_id=START, graph=decoder(mask=None), encoder=encoder(whisper=True), early_stopping=1)
    yield beam("whisper", features, **more)
    yield beam("whisper_tokens", features, first=np.array([[4, 5, 6], [2, 3, 3]], np.int32), **more)
    more["op"] = "WhisperBeamSearch"
    first = np.array([[4, 5, 6], [2, 3, 3]], np.int32)
    ids = dict(translate_token_id=3, transcribe_token_id=4, start_of_lm_token_id=5, no_timestamps_token_id=6, beginning_timestamp_token_id=10)
    for processor in (0, 1):
        for begin in (10, 14, 20):
            for heat in (None, 0.5, 30.0):
                yield beam(f"whisper_op_{processor}_{begin}_{heat}", features, first=first, maximum=16, outputs=2, beams=4,
                           tail=[one(processor), None, None, one(heat, np.float32)], **{**more, **ids, "beginning_timestamp_token_id": begin})
    yield beam("whisper_stamped", features, first=np.array([[4, 12], [4, 3]], np.int32), maximum=16, tail=[one(1)], **more, **ids)
    yield beam("whisper_stamped_twice", features, first=np.array([[12, 13], [3, 11]], np.int32), maximum=16, tail=[one(1)], **more, **ids)
    said = asked(beam("x", features, first=first, outputs=3, **more))  # onnxruntime leaves the probabilities as they lie there
    yield beam("whisper_no_speech", features, first=first, names=("sequences", "sequences_scores", "", "", "no_speech"), no_speech_token_id=9,
               expected=[*said[:2], np.exp(said[2][0, :, 0, 9])], **more)
    yield beam("whisper_bad_no_speech", features, names=("sequences", "sequences_scores", "", "", "no_speech"), exit=3, **more)
    yield beam("whisper_cross_qk", features, exit=4, decoder_output_cross_qk=1, **more)
    yield beam("whisper_model_type", exit=3, op="WhisperBeamSearch", model_type=1, graph=decoder(), encoder=encoder())
    yield beam("t5_two", TOKENS[:1], maximum=3, graph=decoder(), encoder=encoder(), **common)


def greedy_cases():
    yield greedy("greedy")
    yield greedy("greedy_one", TOKENS[:1], maximum=30)
    for eos in range(0, VOCAB, 4):
        yield greedy(f"greedy_ends_{eos}", TOKENS, eos_token_id=eos)
    yield greedy("greedy_all", minimum=9, repetition=1.4, vocab=allowed(3, 4), prefix=allowed(1, 2, shape=(2, VOCAB)),
                 mask=np.array([[0, 1, 0, 1], [1, 1, 1, 1]], np.int32), no_repeat_ngram_size=2)
    yield greedy("greedy_init_decoder", init_decoder=gpt(1))
    few = dict(op="Sampling", top_p=0.01, seed=3)
    yield greedy("sampling", **few)
    yield greedy("sampling_custom", custom=1, **few)
    yield greedy("sampling_all", minimum=9, repetition=1.4, vocab=allowed(3, 4), temperature=0.7, no_repeat_ngram_size=2, min_tokens_to_keep=1,
                 **few)
    yield greedy("sampling_presence", TOKENS[:1], presence=1 - allowed(3, 8, 16, shape=(1, VOCAB)), presence_penalty=1e6, op="Sampling",
                 top_p=0.01, expected=asked(greedy("x", TOKENS[:1], vocab=allowed(3, 8, 16))))
    yield greedy("sampling_none", TOKENS[:0], op="Sampling", expected=[np.zeros((0, 12), np.int32)])


def bad_cases():
    for name, change in (("max_length", dict(maximum=4)), ("max_length_0", dict(maximum=0)), ("no_beams", dict(beams=0)),
                         ("many_returned", dict(returned=4)), ("none_returned", dict(returned=0)), ("repetition", dict(repetition=0.0)),
                         ("vocab_mask", dict(vocab=np.ones(VOCAB + 1, np.int32))), ("prefix_mask", dict(prefix=np.ones((1, VOCAB), np.int32))),
                         ("attention_mask", dict(mask=np.ones((2, 5), np.int32))), ("model_type", dict(model_type=3)),
                         ("no_encoder", dict(model_type=1)), ("ngram", dict(no_repeat_ngram_size=-1)), ("vocab_size", dict(vocab_size=VOCAB + 1)),
                         ("present", dict(graph=gpt(spoil="present"))), ("flat", dict(graph=gpt(spoil="flat"))),
                         ("turned", dict(graph=gpt(spoil="turned"))), ("heads", dict(graph=gpt(heads="n"))), ("rank", dict(ids=TOKENS[0])),
                         ("empty_prompt", dict(ids=TOKENS[:, :0])), ("t5_start", dict(model_type=1, graph=decoder(), encoder=encoder())),
                         ("t5_hidden", dict(model_type=1, graph=decoder(hidden=True), encoder=encoder(False), decoder_start_token_id=2)),
                         ("t5_decoder", dict(model_type=1, encoder=encoder(), decoder_start_token_id=2))):
        yield beam(f"bad_{name}", exit=3, **change)
    yield greedy("bad_temperature", op="Sampling", temperature=0.0, exit=3)


def cases():
    for family in (beam_cases, t5_cases, greedy_cases, bad_cases):
        yield from family()
