"""Every page and every part of one that is fetched by itself, as addresses with places for what varies.

The places are filled by `draws.Draws`. What a page fetches later (figures that scroll into view, tiles, points of a
map) is found in the page itself and measured under the page's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.web.goals import DENSITY, FINDER, PAGE, SEARCH, Goal


@dataclass(frozen=True)
class Page:
    """One row of the table."""

    name: str
    address: str
    goal: Goal = PAGE


RUN = "/runs/{run}"
API = "/api/v1/runs/{run}"
CLUSTERING = API + "/clusterings/{affinity}/{k}"
CLUSTER = CLUSTERING + "/clusters/{label}"
PAGES = (
    Page("runs", "/"),
    Page("overview", RUN + "/?k={k}&affinity={affinity}"),
    Page("rank-frequency", RUN + "/rank-frequency/?affinity={affinity}&first={first}&last={last}"),
    Page("rank-frequency, both", RUN + "/rank-frequency/?affinity=both"),
    Page("rank-frequency, fit", RUN + "/rank-frequency/fit?affinity={affinity}&first={first}&last={last}"),
    Page("clusters", RUN + "/k/{k}/clusters/?affinity={affinity}&sort={sort}&least={least}"),
    Page("clusters, table", RUN + "/k/{k}/clusters/?affinity={affinity}&view=table&sort={sort}"),
    Page("clusters, by text", RUN + "/k/{k}/clusters/?affinity={affinity}&text={word}"),
    Page("clusters, by answer", RUN + "/k/{k}/clusters/?affinity={affinity}&answer={word}"),
    Page("cluster", RUN + "/k/{k}/clusters/{label}/?affinity={affinity}&unit={unit}"),
    Page("cluster, 200 tokens", RUN + "/k/{k}/clusters/{label}/?affinity={affinity}&reach=200"),
    Page("largest cluster", RUN + "/k/10/clusters/{first_label}/?affinity={affinity}"),
    Page("similarity", RUN + "/similarity/?k={k}&affinity={affinity}"),
    Page("similarity, tile", "{pixels}/{tile}.png"),
    Page("similarity, pair", RUN + "/similarity/pair/{affinity}/{show}/k{k}/?row={row}&column={column}"),
    Page("similarity, picture", "{pixels}/picture.png?first={block_first}&last={block_last}"),
    Page("tokens", RUN + "/tokens/?m_min={m_min}&n_max={n_max}&s1_min={nats}", FINDER),
    Page("tokens, two losses", RUN + "/tokens/?s1_min={nats}&s{last_size}_max={low_nats}&sort=monogenic", FINDER),
    Page("tokens, facets", RUN + "/tokens/?a_min={bits}&class=monogenic&induced=no", FINDER),
    Page("tokens, answer", RUN + "/tokens/?answer={word}&m_max={m_min}", FINDER),
    Page("tokens, density", RUN + "/tokens.html?figure=density&m_min={m_min}&n_max={n_max}", DENSITY),
    Page("search", RUN + "/search/?q={word}", SEARCH),
    Page("search, expression", RUN + "/search/?q={word}[a-z]%2B{word}&mode=regex", SEARCH),
    Page("search, answer", RUN + "/search/?q={word}&mode=answer", SEARCH),
    Page("search, sequence", RUN + "/search/?q={label}+*+{label}&mode=sequence", SEARCH),
    Page("search, words", RUN + "/search/?q=a+{word}&in=contexts", SEARCH),  # "=" alone is no word
    Page("token", RUN + "/tokens/{index}/?unit={unit}"),
    Page("clustered token", RUN + "/tokens/{token}/"),
    Page("token, at a step", RUN + "/tokens/{index}/?step={step}"),
    Page("document", RUN + "/documents/{document}/"),
    Page("document, another network", RUN + "/documents/{document}/?checkpoint={checkpoint}"),
    Page("document, difference", RUN + "/documents/{document}/?checkpoint={checkpoint}&against={other_checkpoint}"),
    Page("losses", RUN + "/losses/?unit={unit}&lm={stepped}&step={step}"),
    Page("losses, frames", RUN + "/losses/frames.json?lm={stepped}"),
    Page("scaling", RUN + "/scaling/?unit={unit}"),
    Page("scaling, steps", RUN + "/scaling/?lm={stepped}"),
    Page("dynamics", RUN + "/dynamics/?k={k}&affinity={affinity}&lm={stepped}&threshold={threshold}"),
    Page("sequence", RUN + "/sequence/?k={k}&affinity={affinity}&threshold={threshold}"),
    Page("sequence, over size", RUN + "/sequence/?k={k}&affinity={affinity}&over=parameters&share={share}"),
    Page("map", RUN + "/map/?k={k}&affinity={affinity}"),
    Page("map, by curve", RUN + "/map/?by={by_curve}&colour={colour}"),
    Page("map, area", RUN + "/map/?area={area}"),
    Page("compare", RUN + "/compare/?a={affinity}-{k}&b={affinity}-{other_k}"),
    Page("compare, affinities", RUN + "/compare/?a=signed-{k}&b=absolute-{k}"),
    Page("probe", RUN + "/probe/"),
    Page("jobs", "/jobs/"),
    Page("workers", "/jobs/workers/"),
    Page("corpora", "/corpora/"),
    Page("labels", "/labels/"),
    Page("vocabulary", "/labeling/tags/"),
    Page("notes", "/notes/"),
    Page("labeling", "/labeling/"),
    Page("quiz, results", "/labeling/quiz/results/?run={run}&k={k}&affinity={affinity}"),
    Page("collections", "/collections/"),
    Page("exports", RUN + "/exports/"),
    Page("laboratory", "/labs/"),
    Page("grokking", "/labs/grokking/"),
    Page("QDG's bias", "/labs/qdg-bias/?slope=-1.24"),
    Page("sparse parity", "/labs/parity/"),
    Page("a pasted curve", "/labs/curves/?text=1e6+4%0A1e7+3%0A1e8+2.2%0A1e9+1.7"),
    Page("theory", "/theory/?n_quanta=500"),
    Page("exponents", "/exponents/"),
    Page("sign-in", "/sign-in/"),
    Page("livez", "/livez"),
    Page("API, runs", "/api/v1/runs/"),
    Page("API, suites", "/api/v1/suites/"),
    Page("API, checkpoints", "/api/v1/checkpoints/?limit=100"),
    Page("API, run", API + "/"),
    Page("API, checkpoints of a run", API + "/checkpoints/?limit=100"),
    Page("API, clusterings", API + "/clusterings/"),
    Page("API, clusters", CLUSTERING + "/clusters/?sort={sort}&least={least}"),
    Page("API, clusters, by text", CLUSTERING + "/clusters/?text={word}"),
    Page("API, cluster", CLUSTER + "/"),
    Page("API, members", CLUSTER + "/members/?limit=100"),
    Page("API, contexts", CLUSTER + "/contexts/"),
    Page("API, curves", CLUSTER + "/curves/"),
    Page("API, curves over steps", CLUSTER + "/curves/?over=steps"),
    Page("API, crosswalk", CLUSTER + "/crosswalk/"),
    Page("API, rank-frequency", API + "/rank-frequency/?affinity={affinity}&first={first}&last={last}"),
    Page("API, jobs", "/api/v1/jobs/"),
    Page("API, theory", "/api/v1/theory/?n_quanta=500"),
    Page("API, exponents", "/api/v1/exponents/"),
)
# routes that change something, need somebody signed in, or whose time is that of a form
LEFT_OUT = frozenset({
    "random-cluster", "run-new", "corpus-new", "corpus", "corpus-remove", "job", "job-cancel", "job-resume",
    "job-take-over", "job-prioritise", "theme", "tour", "run-manage", "sign-in-link", "sign-out", "password",
    "probe-delete", "map-positions", "map-colours",  # found in the map's page
    "adjudicate", "adjudicate-cluster", "adjudicate-next", "agreement", "audit", "cluster-suggestions", "collection",
    "collection-change", "collection-comment", "collection-delete", "collection-keep", "collection-note",
    "collection-remove", "collection-uncomment", "export-delete", "export-download", "export-table", "import",
    "grokking-experiment", "parity-experiment", "qdg-bias-experiment", "qdg-bias-picture",
    "experiment-change", "experiment-progress", "import-delete",
    "import-apply", "import-labels", "imports", "invitation", "invitation-revoke", "invite", "key-make", "key-revoke",
    "label", "labeling-next", "metrics", "note-save", "notice-read", "notices", "notices-read", "password-again",
    "password-forgotten", "password-mailed", "people", "person-change", "profile", "queue", "queue-close",
    "queue-delete", "queue-describe", "queue-new", "queue-share", "quiz", "quiz-ask", "quiz-question", "readyz",
    "sign-up", "suggestion", "suggestions", "suggestions-ask", "exponent-change",
})  # fmt: skip
