// Colours the magics of Rust cells in JupyterLab and Notebook 7.
//
// This is what a build makes of an extension, written by hand: a container of module federation that takes CodeMirror from
// JupyterLab. So there is nothing to build, and what is read here is what runs.
(() => {
  let shared;

  // One of JupyterLab's own modules.
  const load = async name => {
    const versions = Object.values(shared[name] || {});
    if (versions.length === 0) throw new Error(`chorus-rust: JupyterLab shares no ${name}`);
    return (await versions[0].get())();
  };

  const MAGIC = /^\s*(%%?[A-Za-z_]\w*\??\??|:[a-z_]\w*)(?=\s|$)/;
  // Above the Rust of a cell, a line with `!` is for the shell.
  const SHELL = /^\s*!(?=[\w\s.\/~$"'])/;
  const NO_RUST = /^\s*($|\/\/|#\||[%:!])/;

  const plugin = async () => {
    const [codemirror, view, language] = await Promise.all(
      ["@jupyterlab/codemirror", "@codemirror/view", "@codemirror/language"].map(load)
    );
    const magic = view.Decoration.mark({ class: "chorus-magic" });

    // The magics of the lines on show. Where a string or a comment goes over several lines, its lines are none.
    const magics = editor => {
      const state = editor.state;
      if (state.facet(language.language)?.name !== "rust") return view.Decoration.none;
      const tree = language.syntaxTree(state);
      const ranges = [];
      let aboveRust = true;
      for (let number = 1; number <= state.doc.lines; number++) {
        const line = state.doc.line(number);
        if (line.from > editor.viewport.to) break;
        const found = MAGIC.exec(line.text) || (aboveRust && SHELL.exec(line.text));
        aboveRust = aboveRust && NO_RUST.test(line.text);
        if (!found || line.to < editor.viewport.from) continue;
        const from = line.from + found[0].search(/\S/);
        if (/String|Comment/.test(tree.resolveInner(from, -1).name)) continue;
        ranges.push(magic.range(from, line.from + found[0].length));
      }
      return view.Decoration.set(ranges);
    };

    const extension = [
      view.ViewPlugin.fromClass(
        class {
          constructor(editor) {
            this.decorations = magics(editor);
          }
          update(update) {
            this.decorations = magics(update.view);
          }
        },
        { decorations: it => it.decorations }
      ),
      view.EditorView.baseTheme({
        ".chorus-magic, .chorus-magic *": {
          color: "var(--jp-mirror-editor-keyword-color) !important",
          fontWeight: "bold",
        },
      }),
    ];

    return {
      id: "chorus-rust:magics",
      description: "Colours the magics of Rust cells.",
      autoStart: true,
      requires: [codemirror.IEditorExtensionRegistry],
      activate: (_, registry) =>
        registry.addExtension({
          name: "chorus-rust:magics",
          factory: () => codemirror.EditorExtensionRegistry.createImmutableExtension(extension),
        }),
    };
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["chorus-rust"] = {
    init: scope => {
      shared = scope;
    },
    get: async () => {
      const made = await plugin();
      return () => ({ __esModule: true, default: made });
    },
  };
})();
