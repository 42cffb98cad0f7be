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
        let mut label = Label { machine, source: self, arms: Vec::new(), id: None, name: None };
        for stmt in body.into_iter().flatten() {
            label.statement(stmt);
        }
        let step = found.items.iter().find_map(|i| match i {
            ImplItem::Fn(f) if f.sig.ident == "step" => Some(doc(&f.attrs)),
            _ => None,
        });
        let own = [step.unwrap_or_default(), self.doc_of(machine)];
        label.rows(own.iter().find(|d| !d.is_empty()).map_or("", String::as_str))
    }
}

/// What a `fn label` says.
struct Label<'a> {
    machine: &'a str,
    source: &'a Source,
    /// Each arm: the variants that it names (enum, variant), whether it takes the rest, the
    /// strings.
    arms: Vec<(Vec<(String, String)>, Vec<String>)>,
    /// The id and name that all arms share.
    id: Option<String>,
    name: Option<String>,
}

impl Label<'_> {
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
            if docs.is_empty() {
                put(id, name, own);
            }
            for doc in docs {
                put(id, name, &doc);
            }
        }
        rows
    }

    /// The doc comments of what an arm stands for.
    fn docs(&self, variants: &[(String, String)]) -> Vec<String> {
        let entry = |(of, name): &(String, String)| {
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
        rest.filter(|e| !mentioned.iter().any(|(_, name)| *name == e.name))
            .map(|e| e.doc)
            .collect()
    }
}

fn is_machine(found: &ItemImpl, machine: &str) -> bool {
    let of = found.trait_.as_ref().is_some_and(|t| t.1.is_ident("Machine"));
    of && matches!(&*found.self_ty, Type::Path(p) if p.path.is_ident(machine))
}

/// The variants that a pattern names.
fn named(pat: &Pat, machine: &str, out: &mut Vec<(String, String)>) {
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

fn capital(text: &str) -> String {
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
