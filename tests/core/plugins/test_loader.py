"""Find plugins, inspect them, and bind each channel's hooks: all of them, or none and say why."""

from contextlib import asynccontextmanager
from textwrap import dedent

import attrs
import pytest

from gateway_core import ConfigError, Instance, Limit, Part, PluginError, Send, installed_channels
from gateway_core.authors import CONTRACT_VERSION, Answer, Traits, hookimpl
from gateway_core.plugins.inspection import ASYNC_HOOKS, OBSERVERS, SPECS
from gateway_core.plugins.loader import Filter, bind, discover, outbox_at
from gateway_core.testing import FakeChannel

NOBODY = Filter(allow=("nobody",))
"""Of the installed plugins none: those given in code are not asked for by name."""

INSTANCE = Instance("bot", "post")
SEND = Send(instance_id="bot", external_room_id="r", text="hello")


class Adapter:
    """The least that an adapter may be."""

    GATEWAY_CONTRACT = CONTRACT_VERSION

    @hookimpl
    def settings_type(self):
        return dict

    @hookimpl
    async def send(self):
        return Answer()


def bound(*plugins, channel="post"):
    return bind(plugins, NOBODY)[channel]


def faults(*plugins):
    """Every fault, with its place."""
    with pytest.raises(PluginError) as caught:
        bind(plugins, NOBODY)
    return [str(problem) for problem in caught.value.problems]


def policy(**hooks):
    """A policy of these functions, each marked."""
    return Policy({name: hookimpl(function) for name, function in hooks.items()})


class Policy:
    """An object with the given attributes, told apart by identity."""

    def __init__(self, fields):
        self.__dict__.update(fields)


# -- what is bound


def test_the_least_adapter_serves_its_channel():
    hooks = bound(("post", Adapter()))
    assert ("post", "Adapter", frozenset({"send"})) == (hooks.channel, hooks.adapter, hooks.can)
    assert dict is hooks.settings_type
    assert (False, False) == (hooks.traits.edit, hooks.traits.delete)


def test_policies_are_asked_before_the_adapter_and_core_in_the_order_given():
    class Voter(Adapter):
        @hookimpl
        def chunk(self):
            return None

    first, second = policy(chunk=lambda: None), policy(chunk=lambda: None)
    first.__name__, second.__name__ = "first", "second"
    asked = bound(first, second, ("post", Voter())).bound()["chunk"]
    assert ("first", "second", "Voter", "gateway_core") == asked


def test_a_policy_for_one_channel_is_not_asked_about_another():
    mine = policy(chunk=lambda: (Part(payload={"mine": True}),))
    plugins = (("post", mine), ("post", Adapter()), ("mail", Adapter()))
    there, elsewhere = (bound(*plugins, channel=name) for name in ("post", "mail"))
    assert {"mine": True} == there.chunk(INSTANCE, SEND, "as_asked")[0].payload
    assert {"text": "hello"} == elsewhere.chunk(INSTANCE, SEND, "as_asked")[0].payload
    assert (("Policy",), ()) == (there.policies, elsewhere.policies)


def test_an_adapter_is_never_asked_about_another_channel():
    class Mail(Adapter):
        @hookimpl(specname="chunk")
        def cut(self):
            return (Part(payload={"mail": True}),)

    plugins = (("post", Adapter()), ("mail", Mail()))
    there, elsewhere = (bound(*plugins, channel=name) for name in ("mail", "post"))
    assert {"mail": True} == there.chunk(INSTANCE, SEND, "as_asked")[0].payload
    assert {"text": "hello"} == elsewhere.chunk(INSTANCE, SEND, "as_asked")[0].payload


def test_an_impl_may_be_static_or_of_the_class():
    class Odd(Adapter):
        @hookimpl
        @staticmethod
        def traits():
            return Traits(edit=False, delete=False, deduplicates_for=5.0)

        @classmethod
        @hookimpl
        def rate_limit(cls, room):
            return [Limit(f"room {room}")]

    hooks = bound(("post", Odd()))
    assert 5.0 == hooks.traits.deduplicates_for
    assert (Limit("room r"),) == hooks.rate_limit(INSTANCE, "r", None, "send", "normal")


def test_a_policy_may_wrap_a_sync_hook():
    class Wrapper:
        @hookimpl(wrapper=True)
        def chunk(self):
            parts = yield
            return (*parts, Part(payload={"more": True}))

    parts = bound(Wrapper(), ("post", Adapter())).chunk(INSTANCE, SEND, "as_asked")
    assert [{"text": "hello"}, {"more": True}] == [part.payload for part in parts]


def test_policies_may_go_first_or_last_by_their_own_wish():
    late, early = policy(), policy()
    late.chunk = hookimpl(trylast=True)(lambda: None)
    early.chunk = hookimpl(tryfirst=True)(lambda: None)
    late.__name__, early.__name__ = "late", "early"
    asked = bound(late, early, ("post", Adapter())).bound()["chunk"]
    assert ("early", "gateway_core", "late") == asked


def test_every_spec_has_its_colour():
    assert {"send", "edit", "delete", "call", "probe", "credentials", "stream"} == ASYNC_HOOKS
    assert OBSERVERS < set(SPECS)
    assert ASYNC_HOOKS < set(SPECS)


# -- what is found


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution: its modules' sources and its entry points by group."""
    monkeypatch.syspath_prepend(tmp_path)

    def installs(name, modules, **groups):
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)
        about = tmp_path / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[{group}]\n" + "\n".join(points) + "\n" for group, points in groups.items()]
        (about / "entry_points.txt").write_text("\n".join(lines))

    return installs


ADAPTER = """
from gateway_core.authors import Answer, hookimpl
GATEWAY_CONTRACT = 1
@hookimpl
def settings_type():
    return dict
@hookimpl
async def send():
    return Answer()
"""
POLICY = """
from gateway_core.authors import hookimpl
GATEWAY_CONTRACT = 1
@hookimpl
def chunk():
    return None
"""


def test_installed_plugins_are_found_by_their_entry_points(install):
    install(
        "pigeons",
        {"pigeon_hooks": ADAPTER, "pigeon_policy": POLICY},
        gateway_plugin=["pigeon = pigeon_hooks"],
        gateway_policy=["careful = pigeon_policy"],
    )
    allowed = Filter(allow=("pigeon", "careful"))
    found, problems = discover(allowed)
    assert [] == problems
    assert [("pigeon", "pigeon", True), ("careful", None, False)] == [
        (plugin.name, plugin.channel, plugin.adapter) for plugin in found
    ]
    assert "pigeon (pigeons 1.0)" == found[0].label
    (binding,) = installed_channels(allowed=allowed)
    assert ("pigeon", "pigeon (pigeons 1.0)", "pigeons", "1.0", ("careful (pigeons 1.0)",)) == (
        binding.channel,
        binding.adapter,
        binding.distribution,
        binding.version,
        binding.policies,
    )
    assert ("careful (pigeons 1.0)", "gateway_core") == binding.hooks["chunk"]


def test_given_policies_are_asked_before_installed_ones(install):
    install("careful", {"careful_policy": POLICY}, gateway_policy=["careful = careful_policy"])
    mine = policy(chunk=lambda: None)
    hooks = bind((mine, ("post", Adapter())), Filter(allow=("careful",)))["post"]
    asked = ("Policy", "careful (careful 1.0)", "gateway_core")
    assert asked == hooks.bound()["chunk"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named"),
        ("class Stray(BaseException): pass\nraise Stray('x')", r"imported: Stray: x"),
        ("import sys\nsys.exit(3)", r"imported: SystemExit: 3 \(broken_hooks\.py:2\)$"),
        ("raise GeneratorExit", r"imported: GeneratorExit"),
    ],
)
def test_a_plugin_that_does_not_import_is_told_with_its_distribution(install, source, text):
    install("broken", {"broken_hooks": source}, gateway_plugin=["broken = broken_hooks"])
    with pytest.raises(PluginError, match=r"broken \(broken 1\.0\): cannot be .*" + text):
        bind((), Filter(allow=("broken",)))


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("\nimport json\n\njson.loads('{')\n", "broken_hooks.py:4"),
        (
            "from gateway_core.settings import whole\nLEAST = 1\nwhole(LEAST)\n",
            "broken_hooks.py:3",
        ),
        ("import broken_inner", "broken_inner.py:1"),
    ],
    ids=["python's own", "core's", "another module of the plugin"],
)
def test_a_plugin_that_does_not_import_is_told_with_its_own_line(install, source, place):
    """The line in which its author finds the mistake, whoever raised the error."""
    modules = {"broken_hooks": source, "broken_inner": "1 / 0"}
    install("broken", modules, gateway_plugin=["broken = broken_hooks"])
    with pytest.raises(PluginError, match=rf"cannot be imported: .* \({place}\)$"):
        bind((), Filter(allow=("broken",)))


def test_a_plugin_that_is_no_python_is_told_with_its_line_once(install):
    install("broken", {"broken_hooks": "x = 1\n)"}, gateway_plugin=["broken = broken_hooks"])
    with pytest.raises(PluginError, match=r"SyntaxError: .* \(broken_hooks\.py, line 2\)$"):
        bind((), Filter(allow=("broken",)))


def test_a_misspelt_hook_is_told_with_the_one_that_was_meant():
    class Typo(Adapter):
        @hookimpl
        def clasify_error(self):
            return None

    (told,) = faults(("post", Typo()))
    meant = "there is no hook 'clasify_error'; did you mean 'classify_error'?"
    assert f"Typo: clasify_error: {meant}" == told


def test_a_plugin_that_is_denied_is_not_even_imported(install):
    install("broken", {"broken_hooks": "1 / 0"}, gateway_plugin=["broken = broken_hooks"])
    found, problems = discover(Filter(deny=("broken",)))
    assert [] == problems
    assert "broken" not in [plugin.name for plugin in found]


@pytest.mark.parametrize(
    ("filter_", "names"),
    [
        (Filter(), "abc"),
        (Filter(allow=("a", "b")), "ab"),
        (Filter(deny=("a",)), "bc"),
        (Filter(allow=("a", "b"), deny=("b",)), "a"),
    ],
    ids=str,
)
def test_allow_and_deny_name_plugins(filter_, names):
    assert names == "".join(name for name in "abc" if filter_(name))


# -- what is refused


def test_every_fault_of_every_plugin_is_told_at_once():
    class Bad:
        GATEWAY_CONTRACT = 9

        @hookimpl
        def send(self):
            return Answer()

        @hookimpl
        async def chunk(self):
            return ()

        @hookimpl
        def fly(self):
            return None

    class Worse:
        @hookimpl
        def validate(self, *, envelope):
            return []

    told = faults(("post", Bad()), Worse())
    assert [
        "Bad: is written for contract version 9; this release serves 1 (GATEWAY_CONTRACT)",
        "Bad: chunk: must be a plain `def`: it is called without waiting",
        "Bad: fly: there is no hook 'fly'",
        "Bad: send: must be `async def`",
        "Bad: required hook settings_type is missing",
        "Worse: validate: parameter 'envelope': must be neither keyword-only nor starred",
    ] == told


def fault_of(function, *, name=None, adapter=True):
    """What is wrong with one hookimpl of an adapter or a policy."""
    plugin = type(
        "Plugin", (Adapter if adapter else object,), {name or function.__name__: function}
    )
    return faults(("post", plugin())) if adapter else faults(plugin(), ("post", Adapter()))


@hookimpl
def a_default(self, room=""):
    return ()


@hookimpl
def starred(self, *args):
    return ()


@hookimpl
def keywords(self, **kwargs):
    return ()


@hookimpl
def misnamed(self, rooom):
    return ()


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (a_default, "parameter 'room': must have no default: it hides a wrong name"),
        (starred, "parameter 'args': must be neither keyword-only nor starred"),
        (keywords, "parameter 'kwargs': must be neither keyword-only nor starred"),
        (misnamed, "parameter 'rooom': the hook has instance, operation, priority, room, thread"),
    ],
)
def test_a_parameter_that_would_never_be_given_is_told(function, text):
    assert [f"Plugin: rate_limit: {text}"] == fault_of(function, name="rate_limit")


def test_a_session_that_is_no_context_manager_is_told():
    @hookimpl
    async def open_session(self, instance):
        yield None

    (text,) = fault_of(open_session)
    assert text == (
        "Plugin: open_session: an async generator is not a context manager:"
        " decorate it with @asynccontextmanager"
    )


async def a_generator(self):
    yield None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("send", "must not `yield`: it has one answer, which it returns"),
        ("probe", "must not `yield`: it has one answer, which it returns"),
        ("validate", "must be a plain `def`: it is called without waiting"),
        ("open_telemetry", "an async generator is not a context manager: decorate it with @asyncc"),
    ],
)
def test_a_hook_that_yields_is_told_what_it_should_do_instead(name, text):
    (told,) = fault_of(hookimpl(a_generator), name=name)
    assert told.startswith(f"Plugin: {name}: {text}")


def test_a_session_that_is_one_is_taken():
    class Good(Adapter):
        @hookimpl
        @asynccontextmanager
        async def open_session(self, instance):
            yield None

    class Good2(Adapter):
        @asynccontextmanager
        @hookimpl
        async def open_session(self, instance):
            yield None

    for good in (Good(), Good2()):
        assert bound(("post", good)).open_session(INSTANCE) is not None


def test_a_required_hook_that_is_missing_is_told():
    class Silent:
        GATEWAY_CONTRACT = 1

        @hookimpl
        async def send(self):
            return Answer()

    assert ["Silent: required hook settings_type is missing"] == faults(("post", Silent()))


def test_an_adapter_without_send_is_told_so_and_not_taken_for_a_policy():
    class Mute:
        GATEWAY_CONTRACT = 1

        @hookimpl
        def settings_type(self):
            return dict

        @hookimpl
        async def edit(self):
            return Answer()

    class Unmarked(Adapter):
        async def send(self):
            return Answer()

    missing = "required hook send is missing"
    assert [f"Mute: {missing}"] == faults(("post", Mute()))
    unmarked = f"Unmarked: {missing} (it is there, without @hookimpl)"
    assert [unmarked] == faults(("post", Unmarked()))


def test_settings_without_their_mark_are_told():
    class Unmarked(Adapter):
        def settings_type(self):
            return dict

    text = "Unmarked: required hook settings_type is missing (it is there, without @hookimpl)"
    assert [text] == faults(("post", Unmarked()))


def test_a_hook_without_its_mark_is_told():
    """It was never called, and nothing said so."""

    class Unmarked(Adapter):
        def validate(self, envelope):
            return []

        async def edit(self, session, attempt):
            return Answer()

        def chunk(self, text):  # a function of its own that happens to have a hook's name
            return []

    text = "has a hook's name and parameters, and is never called: mark it with @hookimpl"
    assert [f"Unmarked: edit: {text}", f"Unmarked: validate: {text}"] == faults(
        ("post", Unmarked())
    )


def test_a_function_of_a_module_has_no_self(install):
    """It would be called without it; pluggy's own error was raised."""
    code = """
        GATEWAY_CONTRACT = 1
        from gateway_core.authors import Answer, hookimpl

        @hookimpl
        def settings_type():
            return dict

        @hookimpl
        async def send(attempt):
            return Answer()

        @hookimpl
        def validate(self, envelope):
            return []
    """
    install("selfish", {"selfish_hooks": dedent(code)}, gateway_plugin=["selfish = selfish_hooks"])
    with pytest.raises(PluginError) as caught:
        bind((), Filter(allow=("selfish",)))
    assert "parameter 'self': the hook has envelope, instance" in str(caught.value)


def test_an_installed_adapter_that_cannot_send_is_told(install):
    install("mute", {"mute_hooks": "GATEWAY_CONTRACT = 1"}, gateway_plugin=["mute = mute_hooks"])
    with pytest.raises(PluginError) as caught:
        bind((), Filter(allow=("mute",)))
    assert [
        "mute (mute 1.0): required hook settings_type is missing",
        "mute (mute 1.0): required hook send is missing",
        "mute (mute 1.0): has no hookimpl: mark its functions with @hookimpl",
    ] == [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("version", [None, 0, 2])
def test_a_contract_version_that_is_not_served_is_told(version):
    plugin = type("Plugin", (Adapter,), {"GATEWAY_CONTRACT": version})
    served = "this release serves 1 (GATEWAY_CONTRACT)"
    text = f"Plugin: is written for contract version {version}; {served}"
    if version is None:
        text = "Plugin: names no contract version: GATEWAY_CONTRACT = 1 is missing"
    assert [text] == faults(("post", plugin()))


@pytest.mark.parametrize("version", ["1", 1.0, [1]], ids=repr)
def test_a_contract_version_that_is_no_whole_number_is_shown(version):
    plugin = type("Plugin", (Adapter,), {"GATEWAY_CONTRACT": version})
    text = f"Plugin: GATEWAY_CONTRACT must be a whole number, not {version!r}"
    assert [text] == faults(("post", plugin()))


def test_a_policy_given_in_code_need_not_name_its_contract_version_but_may():
    """It is a part of the program that gives it, which is made for its gateway."""
    assert bound(policy(chunk=lambda: None), ("post", Adapter()))
    later = policy(chunk=lambda: None)
    later.GATEWAY_CONTRACT = 2
    (text,) = faults(later, ("post", Adapter()))
    assert "contract version 2" in text


@pytest.mark.parametrize("group", ["gateway_plugin", "gateway_policy"])
def test_whatever_is_installed_names_its_contract_version(install, group):
    source = ADAPTER if group == "gateway_plugin" else POLICY
    nameless = source.replace("GATEWAY_CONTRACT = 1\n", "")
    install("bare", {f"bare_{group}": nameless}, **{group: [f"bare = bare_{group}"]})
    with pytest.raises(PluginError) as caught:
        bind((), Filter(allow=("bare",)))
    text = "bare (bare 1.0): names no contract version: GATEWAY_CONTRACT = 1 is missing"
    assert [text] == [str(problem) for problem in caught.value.problems]


def test_two_adapters_of_one_channel_are_told_with_both_names():
    second = type("Second", (Adapter,), {})
    assert ["Second: serves channel 'post', which Adapter serves already"] == faults(
        ("post", Adapter()), ("post", second())
    )


def test_an_adapter_that_is_given_for_no_channel_is_told():
    assert ['Adapter: an adapter must be given as ("channel", plugin)'] == faults(Adapter())


@pytest.mark.parametrize("name", sorted(ASYNC_HOOKS - {"send"}))
def test_an_async_hook_of_a_policy_is_told(name):
    async def hook(self):
        return None

    (text,) = fault_of(hookimpl(hook), name=name, adapter=False)
    assert text.startswith(
        f"Plugin: {name}: only a channel's adapter may implement it: leave it out of a policy"
    )


async def _send():
    return Answer()


@pytest.mark.parametrize("channel", [None, "post"])
def test_a_policy_that_sends_is_told_what_to_do_and_not_to_become_an_adapter(channel):
    sends = policy(send=_send, chunk=lambda: None)
    told = faults(sends if channel is None else (channel, sends), ("post", Adapter()))
    text = (
        "Policy: send: only a channel's adapter may implement it: leave it out of a policy; a"
        " policy changes a message in `rewrite`, refuses it in `validate` and learns of attempts"
        " in `after_attempt`"
    )
    given = '; an adapter must be given as ("channel", plugin)' if channel is None else ""
    assert [text + given] == told


def test_an_installed_policy_that_sends_is_told_so(install):
    source = ADAPTER.replace("settings_type", "traits")
    install("eager", {"eager_hooks": source}, gateway_policy=["eager = eager_hooks"])
    with pytest.raises(PluginError) as caught:
        bind((), Filter(allow=("eager",)))
    (text,) = map(str, caught.value.problems)
    assert text.startswith("eager (eager 1.0): send: only a channel's adapter may implement it")
    assert text.endswith("`after_attempt`")


def test_an_async_hook_takes_no_wrapper():
    @hookimpl(wrapper=True)
    async def edit(self):
        return None

    (text,) = fault_of(edit)
    assert "async hooks take no wrapper: it would end before the await" in text


@pytest.mark.parametrize(
    "options", [{"tryfirst": True}, {"trylast": True}, {"wrapper": True}, {"hookwrapper": True}]
)
def test_an_adapter_stands_in_its_place(options):
    def chunk(self):
        yield

    text = "Plugin: chunk: adapters use neither tryfirst nor trylast nor wrappers"
    assert [text] == fault_of(hookimpl(**options)(chunk))


@pytest.mark.parametrize("name", ["admit", "rewrite", *sorted(OBSERVERS)])
def test_who_is_called_one_by_one_takes_no_wrapper(name):
    def hook(self):
        yield

    text = f"Plugin: {name}: takes no wrapper: its impls are called one by one"
    assert [text] == fault_of(hookimpl(wrapper=True)(hook), name=name, adapter=False)


def test_two_impls_of_one_hook_in_one_plugin_are_told():
    class Twice(Adapter):
        @hookimpl(specname="send")
        async def post(self):
            return Answer()

    (text,) = faults(("post", Twice()))
    assert "Twice: send: implements the hook 'send' once more, after 'post'" == text


def test_what_has_no_hash_is_told():
    class Unhashable(Adapter):
        __hash__ = None

    assert ["Unhashable: must be hashable"] == faults(("post", Unhashable()))


def test_what_has_a_hash_that_fails_is_told():
    @attrs.frozen
    class Deep(Adapter):
        fields: dict

    assert ["Deep: must be hashable"] == faults(("post", Deep({})))


def test_one_plugin_given_twice_is_told():
    mine = policy(chunk=lambda: None)
    text = "Policy: is given twice"
    assert [text] == faults(mine, mine, ("post", Adapter()))
    adapter = Adapter()
    assert ["Adapter: is given twice"] == faults(("post", adapter), ("mail", adapter))


@pytest.mark.parametrize("operation", ["edit", "delete"])
def test_traits_that_promise_what_there_is_no_hook_for_are_told(operation):
    class Promising(Adapter):
        @hookimpl
        def traits(self):
            return Traits(**{"edit": False, "delete": False, operation: True})

    text = f"Promising: traits promise {operation}, but there is no such hook"
    assert [text] == faults(("post", Promising()))


@pytest.mark.parametrize("name", ["typing", "mark", "acknowledge"])
def test_a_sign_that_nothing_could_make_is_told(name):
    def sign(self):
        return None

    told = f"Plugin: {name} is made with the hook call, but there is no such hook"
    assert [told] == fault_of(hookimpl(sign), name=name)


def test_what_has_the_name_of_a_hook_and_no_mark_changes_nothing():
    mine = policy(admit=lambda: None)
    mine.chunk = 5
    assert ("gateway_core",) == bound(mine, ("post", Adapter())).bound()["chunk"]


def kind(value):
    """Names a case without its address, which each process has another of."""
    return type(value).__name__


@pytest.mark.parametrize("plugin", [Policy({"admit": lambda: "shed"}), 5, None], ids=kind)
def test_a_plugin_that_would_never_be_asked_is_told(plugin):
    """A forgotten mark is found when the gateway opens, not when nothing happens."""
    (text,) = faults(plugin)
    assert text.endswith(": has no hookimpl: mark its functions with @hookimpl")


def test_a_class_is_told_that_an_instance_is_wanted():
    class Recorder:
        @hookimpl
        def after_disposition(self): ...

    assert ["Recorder: is a class; give an instance of it"] == faults(Recorder)


def test_an_installed_policy_whose_hooks_are_in_a_class_is_told_what_to_give(install):
    source = POLICY.replace(
        "@hookimpl\ndef chunk():", "class Careful:\n    @hookimpl\n    def chunk(self):"
    )
    source = source.replace("    return None", "        return None")
    install("careful", {"class_policy": source}, gateway_policy=["careful = class_policy"])
    text = "has no hookimpl: give an instance of its class Careful, not the module"
    with pytest.raises(PluginError, match=rf"careful \(careful 1\.0\): {text}"):
        bind((), Filter(allow=("careful",)))


def test_a_plugin_for_a_channel_that_nobody_serves_is_told():
    text = "Policy: no plugin serves channel 'pots'; served: post"
    assert [text] == faults(("post", Adapter()), ("pots", policy(admit=lambda: None)))


@pytest.mark.parametrize("plugins", [None, 5, Policy({}), "slack"], ids=kind)
def test_plugins_are_given_as_a_list(plugins):
    with pytest.raises(TypeError, match="`plugins` must be a list of plugins, not"):
        bind(plugins, NOBODY)


@pytest.mark.parametrize("plugin", ["courtesy", ("post", "courtesy")], ids=["all", "one"])
def test_a_plugin_is_no_name(plugin):
    with pytest.raises(TypeError, match="an object, not the text 'courtesy': import it"):
        bind([plugin], NOBODY)


@pytest.mark.parametrize(
    "pair",
    [(), ("post",), (5, Policy({})), ("a", "b", "c")],
    ids=("none", "one", "no name", "three"),
)
def test_a_plugin_for_one_channel_is_a_pair(pair):
    with pytest.raises(TypeError, match=r'one channel must be \("channel", plugin\), not'):
        bind([pair], NOBODY)


def test_the_fake_channel_is_in_order():
    assert {"send", "edit", "delete", "call", "probe", "stream"} == bound(
        ("post", FakeChannel())
    ).can


# -- outboxes


def test_the_outbox_of_a_url_is_opened_by_the_plugin_of_its_scheme():
    class Files:
        @hookimpl
        def open_outbox(self, url):
            return f"opened {url}" if url.startswith("file:") else None

    assert "opened file:x" == outbox_at("file:x", [Files()], NOBODY)
    with pytest.raises(ConfigError, match="outbox: no plugin opens outboxes of scheme 'tape'"):
        outbox_at("tape:x", [Files(), ("post", Adapter())], NOBODY)
