//! Reads the doc comments of the model's source: what a table of the manual is made of.

use std::fs;
use std::path::PathBuf;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, Fields, File, Ident, ImplItem, Item, ItemEnum, ItemImpl, ItemMacro, Lit,
    LitStr, Meta, Pat, Stmt, Token, Type,
};

/// A file of the model's source.
pub struct Source {
    /// Its path from the root of the crate.
    pub path: String,
    file: File,
}

/// Something that has a name and a doc comment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub name: String,
    pub doc: String,
}

/// A step that a machine makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepRow {
    /// `F9`; empty if it has no number.
    pub id: String,
    /// The kernel's words, as traces print them.
    pub name: String,
    /// The place before the step.
    pub doc: String,
}

impl Source {
    pub fn read(path: &str) -> Source {
        let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = fs::read_to_string(&full).unwrap_or_else(|e| panic!("{path}: {e}"));
        let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
        Source { path: path.to_string(), file }
    }

    /// The `//!` header.
    pub fn header(&self) -> String {
        doc(&self.file.attrs)
    }

    fn enums(&self) -> impl Iterator<Item = &ItemEnum> {
        self.file.items.iter().filter_map(|i| match i {
            Item::Enum(e) => Some(e),
            _ => None,
        })
    }

    /// The doc comment of a type.
    pub fn doc_of(&self, name: &str) -> String {
        let found = self.file.items.iter().find_map(|i| match i {
            Item::Enum(e) if e.ident == name => Some(doc(&e.attrs)),
            Item::Struct(s) if s.ident == name => Some(doc(&s.attrs)),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// The variants of an enumeration.
    pub fn variants(&self, name: &str) -> Vec<Entry> {
        let found = self.enums().find(|e| e.ident == name);
        let variants = found.into_iter().flat_map(|e| &e.variants);
        variants.map(|v| Entry { name: v.ident.to_string(), doc: doc(&v.attrs) }).collect()
    }

    /// The fields of a struct that have a doc comment.
    pub fn fields(&self, name: &str) -> Option<Vec<Entry>> {
        self.file.items.iter().find_map(|i| match i {
            Item::Struct(s) if s.ident == name => Some(match &s.fields {
                Fields::Named(fields) => fields
                    .named
                    .iter()
                    .map(|f| Entry {
                        name: f.ident.as_ref().map(Ident::to_string).unwrap_or_default(),
                        doc: doc(&f.attrs),
                    })
                    .filter(|e| !e.doc.is_empty())
                    .collect(),
                _ => Vec::new(),
            }),
            _ => None,
        })
    }

    /// The calls of a macro, parsed as rows.
    pub fn rows<T: Parse>(&self, name: &str) -> Vec<T> {
        let calls = self.file.items.iter().filter_map(|i| match i {
            Item::Macro(ItemMacro { mac, .. }) if mac.path.is_ident(name) => Some(mac),
            _ => None,
        });
        calls
            .map(|mac| mac.parse_body::<T>())
            .map(|row| row.unwrap_or_else(|e| panic!("{}: {name}!: {e}", self.path)))
            .collect()
    }

    /// The steps of a machine, from its `fn label` and the doc comments of its states.
    pub fn steps(&self, machine: &str) -> Vec<StepRow> {
        let found = self.file.items.iter().find_map(|i| match i {
            Item::Impl(i) if is_machine(i, machine) => Some(i),
            _ => None,
        });
        let found = found.unwrap_or_else(|| panic!("{}: no Machine for {machine}", self.path));
        let body = found.items.iter().find_map(|i| match i {
            ImplItem::Fn(f) if f.sig.ident == "label" => Some(&f.block.stmts),
            _ => None,
        });
        let body = body.unwrap_or_else(|| panic!("{machine} has no label"));
        let step = found.items.iter().find_map(|i| match i {
            ImplItem::Fn(f) if f.sig.ident == "step" => Some((doc(&f.attrs), &f.block.stmts)),
            _ => None,
        });
        let (step_doc, step_body) = step.unwrap_or_else(|| panic!("{machine} has no step"));
        let mut label = Label::new(machine, self);
        for stmt in body {
            label.statement(stmt);
        }
        let mut step = Label::new(machine, self);
        step_body.iter().for_each(|s| step.statement(s));
        label.idle = step.idle;
        label.stepping = step.arms.into_iter().flat_map(|(variants, _)| variants).collect();
        let own = [step_doc, self.doc_of(machine)];
        label.rows(own.iter().find(|d| !d.is_empty()).map_or("", String::as_str))
    }
}

/// A variant of an enumeration: both names.
type Variant = (String, String);

/// What a `fn label` says.
struct Label<'a> {
    machine: &'a str,
    source: &'a Source,
    /// Each arm: the variants that it names (none: it takes the rest), and its strings.
    arms: Vec<(Vec<Variant>, Vec<String>)>,
    /// The variants that `fn step` names.
    stepping: Vec<Variant>,
    /// In the variants that it does not name, `fn step` does nothing: the machine is in a call.
    idle: bool,
    /// The id and name that all arms share.
    id: Option<String>,
    name: Option<String>,
}

impl<'a> Label<'a> {
    fn new(machine: &'a str, source: &'a Source) -> Label<'a> {
        let (arms, stepping) = (Vec::new(), Vec::new());
        Label { machine, source, arms, stepping, idle: false, id: None, name: None }
    }

    fn statement(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Local(local) => {
                if let Some(init) = &local.init {
                    self.expression(&init.expr);
                }
            }
            Stmt::Expr(expr, _) => self.expression(expr),
            _ => {}
        }
    }

    fn expression(&mut self, expr: &Expr) {
        match expr {
            Expr::Match(found) => {
                for arm in &found.arms {
                    let (mut variants, mut strings) = (Vec::new(), Vec::new());
                    let goes_on = matches!(&*arm.body, Expr::MethodCall(c) if c.method == "into");
                    self.idle |= goes_on && matches!(arm.pat, Pat::Wild(_));
                    named(&arm.pat, self.machine, &mut variants);
                    literals(&arm.body, &mut strings);
                    self.arms.push((variants, strings));
                }
            }
            Expr::Call(call) => {
                let mut arguments = call.args.iter();
                self.id = arguments.next().and_then(literal);
                self.name = arguments.next().and_then(literal);
            }
            _ => {}
        }
    }

    /// One row for each place; `own` says what a place does that no comment describes.
    fn rows(&self, own: &str) -> Vec<StepRow> {
        let mut rows: Vec<StepRow> = Vec::new();
        let mut put = |id: &str, name: &str, doc: &str| {
            let doc = doc.strip_prefix(&format!("{id}: ")).unwrap_or(doc);
            let row = StepRow { id: id.into(), name: name.into(), doc: capital(first(doc)) };
            if !rows.contains(&row) {
                rows.push(row);
            }
        };
        if let (true, Some(name)) = (self.arms.is_empty(), &self.name) {
            put(self.id.as_deref().unwrap_or_default(), name, own);
        }
        for (variants, strings) in &self.arms {
            let (id, name) = match strings.as_slice() {
                [id, name] => (id.as_str(), name),
                [name] => (self.id.as_deref().unwrap_or_default(), name),
                other => panic!("{}: {}: {other:?}", self.source.path, self.machine),
            };
            let docs = self.docs(variants);
            match docs.is_empty() {
                true if variants.is_empty() && self.idle => {
                    put(id, name, "No step of its own: the machine is inside a call.");
                }
                true => put(id, name, own),
                false => {}
            }
            for doc in docs {
                put(id, name, &doc);
            }
        }
        rows
    }

    /// The doc comments of what an arm stands for.
    fn docs(&self, variants: &[Variant]) -> Vec<String> {
        let entry = |(of, name): &Variant| {
            self.source.variants(of).into_iter().find(|e| e.name == *name).map(|e| e.doc)
        };
        if !variants.is_empty() {
            // Of a tuple the first says where the machine is; alternatives are of one kind.
            let kind = &variants[0].0;
            return variants.iter().filter(|v| v.0 == *kind).filter_map(entry).collect();
        }
        let mentioned: Vec<_> = self.arms.iter().flat_map(|(v, _)| v).collect();
        let Some((kind, _)) = mentioned.first() else { return Vec::new() };
        let rest = self.source.variants(kind).into_iter();
        let rest = rest.filter(|e| !mentioned.iter().any(|(_, name)| *name == e.name));
        let rest: Vec<Entry> = rest.filter(|e| !e.doc.starts_with("In ")).collect();
        let steps = |e: &&Entry| self.stepping.iter().any(|(_, name)| *name == e.name);
        let stepping: Vec<String> = rest.iter().filter(steps).map(|e| e.doc.clone()).collect();
        match stepping.is_empty() && !self.idle {
            true => rest.into_iter().map(|e| e.doc).collect(),
            false => stepping,
        }
    }
}

fn is_machine(found: &ItemImpl, machine: &str) -> bool {
    let of = found.trait_.as_ref().is_some_and(|t| t.0.is_ident("Machine"));
    of && matches!(&*found.self_ty, Type::Path(p) if p.path.is_ident(machine))
}

/// The variants that a pattern names.
fn named(pat: &Pat, machine: &str, out: &mut Vec<Variant>) {
    let mut path = |path: &syn::Path| {
        let words: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if let [.., of, name] = words.as_slice() {
            let of = if of == "Self" { machine } else { of };
            out.push((of.to_string(), name.clone()));
        }
    };
    match pat {
        Pat::Path(p) => path(&p.path),
        Pat::TupleStruct(p) => path(&p.path),
        Pat::Struct(p) => path(&p.path),
        Pat::Or(p) => p.cases.iter().for_each(|p| named(p, machine, out)),
        Pat::Tuple(p) => p.elems.iter().for_each(|p| named(p, machine, out)),
        Pat::Guard(p) => named(&p.pat, machine, out),
        _ => {}
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(e) => match &e.lit {
            Lit::Str(s) => Some(s.value()),
            _ => None,
        },
        _ => None,
    }
}

/// The strings in an expression, in order.
fn literals(expr: &Expr, out: &mut Vec<String>) {
    match expr {
        Expr::Lit(_) => out.extend(literal(expr)),
        Expr::Tuple(e) => e.elems.iter().for_each(|e| literals(e, out)),
        Expr::Call(e) => e.args.iter().for_each(|e| literals(e, out)),
        Expr::Return(e) => e.expr.iter().for_each(|e| literals(e, out)),
        Expr::Block(e) => {
            for stmt in &e.block.stmts {
                if let Stmt::Expr(e, _) = stmt {
                    literals(e, out);
                }
            }
        }
        _ => {}
    }
}

/// The text of a doc comment, its paragraphs separated by empty lines.
pub fn doc(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter(|a| a.path().is_ident("doc")).filter_map(|a| match &a.meta {
        Meta::NameValue(m) => literal(&m.value),
        _ => None,
    });
    let mut text = String::new();
    for line in lines {
        match line.trim() {
            "" => text.push_str("\n\n"),
            line => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push(' ');
                }
                text.push_str(line);
            }
        }
    }
    text
}

/// The first paragraph.
pub fn first(doc: &str) -> &str {
    doc.split("\n\n").next().unwrap_or_default()
}

/// Words that are written small wherever they stand.
const NAMES: [&str; 5] = ["tmpfs", "btrfs", "xfs", "mmap", "munmap"];

/// A sentence that begins with a capital, unless it begins with a name.
fn capital(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default().trim_end_matches([',', ':', ';', '.']);
    let name = !word.chars().all(|c| c.is_ascii_lowercase()) || NAMES.contains(&word);
    if name {
        return text.to_string();
    }
    let mut chars = text.chars();
    match chars.next() {
        Some(c) => c.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// `/// doc` and `Name(module::Type),`: a row of `routines!`.
pub struct Machine {
    pub name: String,
    pub module: String,
    pub ty: String,
}

/// The rows of `routines!`.
pub struct Machines(pub Vec<Machine>);

impl Parse for Machines {
    fn parse(input: ParseStream) -> syn::Result<Machines> {
        let row = |input: ParseStream| {
            input.call(Attribute::parse_outer)?;
            let name = input.parse::<Ident>()?.to_string();
            let inner;
            syn::parenthesized!(inner in input);
            let path: syn::Path = inner.parse()?;
            let word = |n: usize| path.segments[n].ident.to_string();
            Ok(Machine { name, module: word(0), ty: word(1) })
        };
        let rows = Punctuated::<_, Token![,]>::parse_terminated_with(input, row)?;
        Ok(Machines(rows.into_iter().collect()))
    }
}

/// `/// doc` and `Name of Id;`, or `Name of Id { fields }`: what a facet is a facet of.
pub struct FacetsOf(pub Vec<(Entry, String)>);

impl Parse for FacetsOf {
    fn parse(input: ParseStream) -> syn::Result<FacetsOf> {
        let mut rows = Vec::new();
        while !input.is_empty() {
            let attrs = input.call(Attribute::parse_outer)?;
            let name = input.parse::<Ident>()?.to_string();
            input.parse::<Ident>()?;
            let of = input.parse::<Ident>()?.to_string();
            if input.peek(Token![;]) {
                input.parse::<Token![;]>()?;
            } else {
                let rest;
                syn::braced!(rest in input);
                rest.step(|c| {
                    let mut at = *c;
                    while let Some((_, next)) = at.token_tree() {
                        at = next;
                    }
                    Ok(((), at))
                })?;
            }
            rows.push((Entry { name, doc: doc(&attrs) }, of));
        }
        Ok(FacetsOf(rows))
    }
}

/// `/// doc`, `Name {` and its values: a small enumeration.
pub struct Small {
    pub name: String,
    pub values: Vec<(Entry, String)>,
}

impl Parse for Small {
    fn parse(input: ParseStream) -> syn::Result<Small> {
        input.call(Attribute::parse_outer)?;
        let name = input.parse::<Ident>()?.to_string();
        let inner;
        syn::braced!(inner in input);
        let values = Values::parse(&inner)?.0;
        Ok(Small { name, values })
    }
}

/// `/// doc` and `Name = "label",`.
pub struct Values(pub Vec<(Entry, String)>);

impl Parse for Values {
    fn parse(input: ParseStream) -> syn::Result<Values> {
        let value = |input: ParseStream| {
            let doc = doc(&input.call(Attribute::parse_outer)?);
            let name = input.parse::<Ident>()?.to_string();
            input.parse::<Token![=]>()?;
            Ok((Entry { name, doc }, input.parse::<LitStr>()?.value()))
        };
        let rows = Punctuated::<_, Token![,]>::parse_terminated_with(input, value)?;
        Ok(Values(rows.into_iter().collect()))
    }
}
