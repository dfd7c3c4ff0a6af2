//! Plugins in a build: planners are asked for their steps, runners are made ready before anything runs, notifiers are told.
//!
//! Everything outside of `plugins` that meets a plugin asks here. A project without plugins costs nothing: no file is read for it and no
//! engine is started.

use super::{
    Places,
    catalogue::Catalogue,
    component::Component,
    host_of,
    limits::{self, Subject},
    reads,
    rules::{self, Rule, Rules},
    runner::{Prepared, Runner},
    settings::Mistake,
    shown,
    standing::Standing,
    state,
    talk::Talk,
    used::{self, Found, Place, Purpose, Used, into_part},
    wait,
};
use crate::{
    cli::project::LoadedProject,
    exec::{Asides, Hidden, Tasks},
    ui::{Ui, sanitize::words},
};
use piper_core::{
    codes,
    id::{PluginName, RuleName},
    notify::Occasion,
    pipeline,
    plan::{self, Command, Plan, PlannedStep, PluginCall},
    plugin::{Options, PluginRef, Uses, pointer_part},
    problem::{Problem, Severity, Source},
    project::Action,
    time::Now,
};
use piper_engine::clock::Clock;
use piper_plugin_host::{
    CallError, Host, Invocation, Limits, Plugin,
    effect::{Binding, Configured, EffectOptions, Effects, secrets::Values},
    kind::Kind,
    policy::{source::PluginDigest, state::StateStore},
};
use serde_json::{Value, json};
use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    env, fmt,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, OnceLock},
};

/// What finds and calls the plugins of one project, as the working copy or one commit has it.
pub struct Plugins {
    ui: Ui,
    places: Places,
    host: OnceCell<Host>,
    effects: OnceCell<Effects>,
    catalogue: OnceCell<Rc<Catalogue>>,
    /// By what the project calls them.
    found: RefCell<BTreeMap<used::Key, Rc<Found>>>,
    /// Code alone, which all names for the same bytes share; what depends on the name is in `found`.
    loaded: RefCell<BTreeMap<PluginDigest, Plugin>>,
    /// Those of which it was said that what is written of them does not hold yet.
    waiting: RefCell<BTreeSet<PluginName>>,
    states: RefCell<BTreeMap<(PluginName, PluginDigest), Arc<dyn StateStore>>>,
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugins")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Plugins {
    /// Nothing is looked at yet.
    pub fn new(ui: &Ui) -> Self {
        let places = Places::find();
        Self {
            ui: *ui,
            places,
            host: OnceCell::new(),
            effects: OnceCell::new(),
            catalogue: OnceCell::new(),
            found: RefCell::default(),
            loaded: RefCell::default(),
            waiting: RefCell::default(),
            states: RefCell::default(),
        }
    }

    /// Puts what planners plan in the place of their steps, and checks what is said to all others: see [`piper_core::plan::expand`].
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the plugins' options and with what planners answered.
    pub fn expand(&self, loaded: &LoadedProject, plan: Plan) -> Result<Plan, Vec<Problem>> {
        let calls: Vec<&PluginCall> = plan.steps.iter().filter_map(plugin_call).collect();
        if calls.is_empty() {
            return Ok(plan);
        }
        let catalogue = self.catalogue(loaded)?;
        let digests: BTreeSet<_> = calls
            .iter()
            .filter_map(|call| used::digest(&catalogue, call))
            .collect();
        self.host(calls.len()).warm(digests);
        let params = params(&plan);
        plan::expand(&loaded.project, &loaded.source, plan, |step, call| {
            let table = table(step);
            let place = Place {
                loaded,
                table: &table,
            };
            let used = self.used(place, call, Purpose::Step)?;
            match used.kind {
                Kind::StepPlanner => self.plan(place, &used, step, &params).map(Some),
                _ => Ok(None),
            }
        })
        .map_err(once)
    }

    /// What carries out the plugins of a plan, made ready before anything runs; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Every plugin that cannot run: not found, not pinned, not granted, not loadable.
    pub fn tasks(
        &self,
        loaded: &LoadedProject,
        plan: &Plan,
    ) -> Result<Option<Tasks>, Vec<Problem>> {
        if !plan.steps.iter().any(|step| plugin_call(step).is_some()) {
            return Ok(None);
        }
        let (mut steps, mut problems) = (BTreeMap::new(), Vec::new());
        let mut hidden = Hidden::default();
        let about = json!({ "project": plan.project, "params": params(plan) });
        for step in &plan.steps {
            let Some(call) = plugin_call(step) else {
                continue;
            };
            let table = table(step);
            let place = Place {
                loaded,
                table: &table,
            };
            match self.runner(place, call, step, &mut hidden) {
                Ok(prepared) => _ = steps.insert(step.label.clone(), Arc::new(prepared)),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            let asides = Asides::default();
            let host = Arc::new(Runner {
                steps,
                project: loaded.root.clone(),
                about,
                asides: asides.clone(),
            });
            Ok(Some(Tasks {
                host,
                asides,
                hidden,
            }))
        } else {
            Err(once(problems))
        }
    }

    /// All that is wrong with what a project says to its plugins, as far as that is known before a build is planned. What one of the
    /// `known` problems is about may mean something else, and is left alone.
    pub fn check(&self, loaded: &LoadedProject, known: &[Problem]) -> Vec<Problem> {
        let project = &loaded.project;
        let known = Known::new(loaded, known);
        let mut problems = Vec::new();
        let mut check = |table: String, uses: &Uses, with: &Options, purpose, on: &[Occasion]| {
            if known.touches(&table, uses) {
                return;
            }
            let call = PluginCall {
                uses: uses.clone(),
                declared: project.declared(uses).cloned(),
                with: with.resolve(|_| String::new()),
            };
            let place = Place {
                loaded,
                table: &table,
            };
            let used = self
                .find(place, &call)
                .and_then(|found| Used::new(found, place, &call, purpose, with.references()));
            match used {
                Ok(used) => {
                    let unheard = rules::unheard(used.title(), &used.events(), on);
                    let at = |problem| loaded.at(problem, &format!("{table}/on"), "");
                    problems.extend(unheard.map(at));
                }
                Err(found) => problems.extend(found),
            }
        };
        for (name, step) in &project.steps {
            if let Action::Plugin(uses, with) = &step.action {
                check(
                    format!("/steps/{}", pointer_part(name.as_str())),
                    uses,
                    with,
                    Purpose::Step,
                    &[],
                );
            }
        }
        for (name, rule) in &project.notify {
            let table = format!("/notify/{}", pointer_part(name.as_str()));
            check(table, &rule.uses, &rule.with, Purpose::Notify, &rule.on);
        }
        once(problems)
    }

    /// Those whom the rules of a project tell of this plan's builds, made ready before anything runs, and their secrets.
    ///
    /// # Errors
    ///
    /// All that is wrong with them.
    pub fn rules(
        &self,
        loaded: &LoadedProject,
        plan: &Plan,
    ) -> Result<(Rules, Hidden), Vec<Problem>> {
        let (mut ready, mut problems) = (BTreeMap::new(), Vec::new());
        let mut hidden = Hidden::default();
        for (name, rule) in &loaded.project.notify {
            let table = format!("/notify/{}", pointer_part(name.as_str()));
            let place = Place {
                loaded,
                table: &table,
            };
            let call = rule.call(&loaded.project, plan);
            match self.rule(place, name, &call, &mut hidden) {
                Ok(rule) => _ = ready.insert(name.clone(), rule),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            Ok((Rules(ready), hidden))
        } else {
            Err(once(problems))
        }
    }

    fn rule(
        &self,
        place: Place<'_>,
        name: &RuleName,
        call: &PluginCall,
        hidden: &mut Hidden,
    ) -> Result<Rule, Vec<Problem>> {
        let used = self.used(place, call, Purpose::Notify)?;
        if let Some(problem) = used.lacks() {
            return Err(vec![place.uses(problem)]);
        }
        let plugin = self.load(place, &used)?;
        let invocation = self.invocation(&used, Kind::Notifier);
        Ok(Rule {
            subject: self.subject(&used),
            plugin,
            binding: self.bind(&used, &invocation.limits, hidden),
            call: used
                .draft()
                .call(json!({ "rule": { "name": name.as_str() } })),
            invocation,
            project: place.loaded.root.clone(),
            events: used.events(),
        })
    }

    /// What loads plugins, and will call them about as often as the first who asks says.
    fn host(&self, calls: usize) -> &Host {
        self.host.get_or_init(|| host_of(&self.places, calls))
    }

    fn catalogue(&self, loaded: &LoadedProject) -> Result<Rc<Catalogue>, Vec<Problem>> {
        if let Some(catalogue) = self.catalogue.get() {
            return Ok(Rc::clone(catalogue));
        }
        let (root, origin) = (loaded.root.clone(), loaded.origin.clone());
        let opened = Catalogue::of(self.places.clone(), Some(root), origin);
        let catalogue = Rc::new(opened.map_err(|error| match error {
            super::Error::Problems(problems) => problems,
            other => vec![Problem::error(codes::UNREADABLE, other.to_string())],
        })?);
        Ok(Rc::clone(self.catalogue.get_or_init(|| catalogue)))
    }

    fn used(
        &self,
        place: Place<'_>,
        call: &PluginCall,
        purpose: Purpose,
    ) -> Result<Used, Vec<Problem>> {
        Used::new(self.find(place, call)?, place, call, purpose, &[])
    }

    /// The plugin that is meant, looked for once.
    fn find(&self, place: Place<'_>, call: &PluginCall) -> Result<Rc<Found>, Vec<Problem>> {
        let key = Found::key(call);
        if let Some(found) = self.found.borrow().get(&key) {
            return Ok(Rc::clone(found));
        }
        let catalogue = self.catalogue(place.loaded)?;
        let found = Rc::new(Found::new(&catalogue, call).map_err(|error| place.all(error))?);
        self.found.borrow_mut().insert(key, Rc::clone(&found));
        Ok(found)
    }

    /// Loads a component, and asks it what its schema cannot say, if it has something to say to that.
    fn load(&self, place: Place<'_>, used: &Used) -> Result<Plugin, Vec<Problem>> {
        let plugin = self.plugin(place, &used.found.component)?;
        let name = used.plugin_name();
        if used.found.standing.waits && self.waiting.borrow_mut().insert(name.clone()) {
            let (title, file) = (used.title(), self.grants_file());
            self.ui.warn(&format!(
                "what {file} says of `{title}` does not hold yet, because nobody has said that this is the plugin it is for: `piper plugin grant {title}`"
            ));
        }
        // That none of its instances can begin is a mistake of its table, and not of a call that is under way.
        let limits = limits::of(used.kind, &used.found.standing.grant.limits);
        plugin.fits(&limits, "load").map_err(|crash| {
            let problem = limits::too_much(&crash, &self.subject(used));
            vec![place.uses(problem)]
        })?;
        if !plugin.kinds().contains(&Kind::ConfigCheck) {
            return Ok(plugin);
        }
        let invocation = self.invocation(used, Kind::ConfigCheck);
        let call = used.draft().call(json!({}));
        let said = wait(plugin.check_config(&invocation, call))
            .map_err(|error| vec![place.uses(cannot_wait(&error))])?
            .map_err(|error| vec![self.broke(place, used, "check", &error)])?;
        let problems = said.iter().map(|problem| {
            mistaken(
                place,
                used,
                &problem.path,
                &problem.message,
                problem.help.as_deref(),
            )
        });
        match problems.collect::<Vec<_>>() {
            problems if problems.is_empty() => Ok(plugin),
            problems => Err(problems),
        }
    }

    fn plugin(&self, place: Place<'_>, component: &Component) -> Result<Plugin, Vec<Problem>> {
        if let Some(plugin) = self.loaded.borrow().get(&component.digest) {
            return Ok(plugin.clone());
        }
        let plugin = component
            .load(self.host(1))
            .map_err(|error| place.all(error))?;
        let mut loaded = self.loaded.borrow_mut();
        if let Some(why) = plugin.not_kept().filter(|_| loaded.is_empty()) {
            self.ui.warn(&format!(
                "plugins are compiled anew for each build, which takes seconds: {why}"
            ));
        }
        Ok(loaded.entry(component.digest).or_insert(plugin).clone())
    }

    fn plan(
        &self,
        place: Place<'_>,
        used: &Used,
        step: &PlannedStep,
        params: &Value,
    ) -> Result<String, Vec<Problem>> {
        let plugin = self.load(place, used)?;
        let files = match &used.reads {
            Some(patterns) => {
                reads::files(patterns, &place.loaded.root, place.loaded.origin.as_deref())
            }
            None => Ok(serde_json::Map::new()),
        };
        let files = files.map_err(|why| {
            let message = format!("`{}` cannot plan: {why}", used.title());
            vec![place.uses(Problem::error(codes::BAD_ANSWER, message))]
        })?;
        let facts = json!({ "step": { "path": step.label }, "params": params, "files": files });
        let call = used.draft().call(facts);
        wait(plugin.plan(&self.invocation(used, Kind::StepPlanner), call))
            .map_err(|error| vec![place.uses(cannot_wait(&error))])?
            .map_err(|error| vec![self.broke(place, used, "plan", &error)])
    }

    /// A planner or a check that failed: a mistake at the step's `with`, says the contract.
    fn broke(&self, place: Place<'_>, used: &Used, what: &str, error: &CallError) -> Problem {
        let title = used.title();
        if let CallError::Failed(failure) = error
            && let Some(path) = failure.detail("path")
            && ["options", "config"]
                .iter()
                .any(|part| into_part(&path, part).is_some())
        {
            let help = failure.detail("help");
            return mistaken(place, used, &path, &failure.message, help.as_deref());
        }
        let message = match error {
            CallError::Failed(failure) => {
                format!("`{title}` cannot {what}: {}", words(&failure.message))
            }
            CallError::Crashed(crash) => format!(
                "`{title}` cannot {what}: {} ({})",
                words(&crash.message),
                crash.code
            ),
        };
        let mut problem = Problem::error(codes::BAD_ANSWER, message);
        if let CallError::Failed(failure) = error {
            let help = failure.detail("help");
            problem
                .help
                .extend(help.map(|help| words(&help).into_owned()));
        }
        let subject = self.subject(used);
        problem
            .help
            .extend(error.limit().map(|limit| subject.line(limit)));
        if let CallError::Crashed(crash) = error {
            problem
                .help
                .extend(crash.log.iter().map(|line| format!("it last said: {line}")));
        }
        let pointer = format!("{}/with", place.table);
        place.loaded.at(problem, &pointer, "planned from this")
    }

    fn subject(&self, used: &Used) -> Subject {
        let file = self.grants_file();
        let found = &used.found;
        Subject {
            title: used.title().to_owned(),
            table: found.standing.table(&found.component, &file),
            file,
        }
    }

    fn grants_file(&self) -> String {
        let file = self.places.grants.as_deref();
        file.map_or_else(|| "plugins.toml".to_owned(), shown)
    }

    /// With what a call that has no effects is made.
    fn invocation(&self, used: &Used, kind: Kind) -> Invocation {
        Invocation {
            limits: limits::of(kind, &used.found.standing.grant.limits),
            log: Arc::new(Talk {
                title: used.title().to_owned(),
                ui: self.ui,
            }),
            ..Invocation::default()
        }
    }

    fn runner(
        &self,
        place: Place<'_>,
        call: &PluginCall,
        step: &PlannedStep,
        hidden: &mut Hidden,
    ) -> Result<Prepared, Vec<Problem>> {
        let used = self.used(place, call, Purpose::Step)?;
        if let Some(problem) = used.lacks() {
            return Err(vec![place.uses(problem)]);
        }
        let plugin = self.load(place, &used)?;
        let limits = limits::of_step(step, &used.found.standing.grant.limits);
        Ok(Prepared {
            subject: self.subject(&used),
            plugin,
            binding: self.bind(&used, &limits, hidden),
            draft: used.draft(),
            files: used.found.standing.effective.files,
            cache: self.plugin_cache(&used),
            limits,
        })
    }

    /// The folder that a plugin keeps files in. Another digest is another plugin, whatever its name, and finds nothing of the first.
    fn plugin_cache(&self, used: &Used) -> Option<PathBuf> {
        let digest = used.found.component.digest.to_string();
        let digest = digest.trim_start_matches("sha256:");
        let name = used.plugin_name().as_str();
        let folder = self.places.plugin_cache.as_ref()?.join(name);
        Some(folder.join(digest.get(..16).unwrap_or(digest)))
    }

    /// The effects of a plugin as it is granted; the secrets among them are `hidden` wherever its build shows anything.
    fn bind(&self, used: &Used, limits: &Limits, hidden: &mut Hidden) -> Binding {
        let effects = self
            .effects
            .get_or_init(|| Effects::new(EffectOptions::new(now)));
        let Standing { effective, .. } = &used.found.standing;
        let secrets = Values::read(effective, |name| env::var(name).ok());
        hidden.add(used.plugin_name(), secrets.to_hide());
        effects.bind(Configured {
            name: used.plugin_name().clone(),
            version: used.found.manifest.version.clone(),
            effective: effective.clone(),
            limits: limits.clone(),
            secrets,
            state: effective.state.then(|| self.state(used)),
        })
    }

    /// What a plugin keeps: one store for all of its steps, which also counts how often they write.
    fn state(&self, used: &Used) -> Arc<dyn StateStore> {
        let digest = used.found.component.digest;
        let key = (used.plugin_name().clone(), digest);
        let mut states = self.states.borrow_mut();
        let store = states.entry(key).or_insert_with(|| {
            state::of(self.places.state.as_deref(), &used.found.standing, digest)
        });
        Arc::clone(store)
    }
}

/// What is known to be wrong with a file that its plugins are asked about.
struct Known<'a> {
    source: &'a Arc<Source>,
    /// With values.
    values: Vec<Problem>,
    /// With keys: what was meant by them is missing.
    keys: Vec<Problem>,
}

impl<'a> Known<'a> {
    fn new(loaded: &'a LoadedProject, known: &[Problem]) -> Self {
        let errors = known
            .iter()
            .filter(|problem| problem.severity == Severity::Error && !problem.code.is_of_graph());
        let (keys, values) = errors
            .cloned()
            .partition(|problem| problem.code == codes::UNKNOWN_KEY);
        Self {
            source: &loaded.source,
            values,
            keys,
        }
    }

    /// Whether it may be that a plugin is not used in this table as it seems.
    fn touches(&self, table: &str, uses: &Uses) -> bool {
        let touched = |pointer: &str, by| pipeline::is_touched(self.source, pointer, by);
        if self.values.is_empty() && self.keys.is_empty() {
            return false;
        }
        let declared = match &uses.plugin {
            PluginRef::Named(name) => touched(&format!("/plugins/{name}"), &self.values),
            PluginRef::Path(_) | PluginRef::Url(_) | PluginRef::Own => false,
        };
        // What was meant by it may be what is missing.
        let with = pipeline::locate(self.source, &format!("{table}/with"));
        let is_whole = with.is_some_and(|found| found.whole);
        declared
            || !is_whole && touched(table, &self.keys)
            || ["uses", "with"]
                .map(|key| format!("{table}/{key}"))
                .iter()
                .any(|pointer| touched(pointer, &self.values))
    }
}

/// Each problem once, in the order of the file: all cells of a matrix have one place in the file, and all plugins the same two files
/// about them.
fn once(problems: Vec<Problem>) -> Vec<Problem> {
    let mut kept: Vec<Problem> = Vec::with_capacity(problems.len());
    for problem in problems {
        if !kept.contains(&problem) {
            kept.push(problem);
        }
    }
    pipeline::sort(&mut kept);
    kept
}

fn plugin_call(step: &PlannedStep) -> Option<&PluginCall> {
    match &step.command {
        Command::Plugin(call) => Some(call),
        Command::Script { .. } | Command::Argv(_) => None,
    }
}

fn params(plan: &Plan) -> Value {
    let params = plan.params.iter();
    params
        .map(|(name, value)| (name.to_string(), Value::from(value.as_str())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The step's table in the project file.
fn table(step: &PlannedStep) -> String {
    format!("/steps/{}", pointer_part(step.step.as_str()))
}

/// A mistake in options or configuration that a plugin itself tells of; `path` is a pointer into both.
fn mistaken(
    place: Place<'_>,
    used: &Used,
    path: &str,
    message: &str,
    help: Option<&str>,
) -> Problem {
    let mistake = |pointer: &str| Mistake {
        pointer: pointer.to_owned(),
        is_name: false,
        message: format!(": {}", words(message)),
        help: help.map(|help| words(help).into_owned()),
    };
    match into_part(path, "options") {
        Some(pointer) => place.with(used.title(), mistake(pointer)),
        None => {
            let pointer = into_part(path, "config").unwrap_or(path);
            place.config(used, mistake(pointer))
        }
    }
}

fn cannot_wait(error: &std::io::Error) -> Problem {
    Problem::error(
        codes::NOT_LOADABLE,
        format!("cannot wait for a plugin: {error}"),
    )
}

/// The clock that plugins' effects go by.
fn now() -> Now {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(Clock::start).now()
}
