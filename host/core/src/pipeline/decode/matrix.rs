//! The axes of a matrix and what is left out of it.

use super::{
    Decoder,
    fields::{Fields, Node, Owner, entries, type_of},
};
use crate::{
    codes,
    id::AxisName,
    pipeline::{keys::Kind, listed},
    problem::Problem,
    project::Matrix,
    suggest,
};
use indexmap::IndexMap;

impl Decoder<'_> {
    /// The axes and exclusions of a matrix.
    pub(super) fn matrix(&mut self, fields: &Fields<'_>) -> Option<Matrix> {
        let (key, node) = fields.get("matrix")?;
        let table = self.table(fields, key, node)?;
        let owner = fields.owner.inner("`matrix`");
        let mut matrix = Matrix::default();
        let mut exclude = None;
        for (name, at, node) in entries(table) {
            if name == "exclude" {
                exclude = Some(node);
                continue;
            }
            let Some(axis) = self.name(name, &at, "axis", AxisName::parse) else {
                continue;
            };
            let Some(list) = node.get_ref().as_array() else {
                self.report_type(owner, name, Kind::Choices, node);
                continue;
            };
            if list.is_empty() {
                self.report_empty(
                    format!("the axis `{name}` of {owner} has no values"),
                    node.span(),
                );
                continue;
            }
            let values = self.scalars_of(owner, name, list);
            if !values.is_empty() {
                matrix.axes.insert(axis, values);
            }
        }
        if table.iter().all(|(name, _)| name.get_ref() == "exclude") {
            self.report_empty(format!("{owner} has no axis"), node.span());
            return None;
        }
        if matrix.size() > Matrix::MOST_CELLS {
            self.report(
                Problem::error(codes::MATRIX_TOO_LARGE, format!("{owner} has more than {} cells", Matrix::MOST_CELLS))
                    .help("the number of cells is the product of the lengths of its axes: shorten one, or split the step"),
                node.span(),
                "too many combinations",
            );
            return None;
        }
        if let Some(node) = exclude {
            self.exclusions(owner, node, &mut matrix);
        }
        if !matrix.axes.is_empty() && matrix_is_empty(&matrix) {
            self.report(
                Problem::error(
                    codes::MATRIX_EMPTY,
                    format!("{owner} has no cells: `exclude` leaves none"),
                )
                .help(
                    "an exclusion leaves out the cells that have all its values: name more of them",
                ),
                exclude.map_or_else(|| node.span(), toml::Spanned::span),
                "excludes every combination",
            );
        }
        Some(matrix)
    }

    fn exclusions(&mut self, owner: Owner<'_>, node: Node<'_>, matrix: &mut Matrix) {
        let Some(list) = node.get_ref().as_array() else {
            self.report(
                Problem::error(
                    codes::WRONG_TYPE,
                    format!(
                        "`exclude` of {owner} must be a list of tables, not {}",
                        type_of(node)
                    ),
                )
                .help("write `exclude = [{ axis = \"value\" }]`"),
                node.span(),
                "",
            );
            return;
        };
        for node in list {
            let Some(table) =
                self.inner_table(owner.inner("an exclusion"), node, "`{ axis = \"value\" }`")
            else {
                continue;
            };
            if table.is_empty() {
                self.report_empty(format!("an exclusion of {owner} is empty"), node.span());
            }
            let mut excluded = IndexMap::new();
            for (name, at, node) in entries(table) {
                let Some(value) = self.scalar(owner, "exclude", Kind::Scalar, node) else {
                    continue;
                };
                let Some((axis, values)) = matrix.axes.get_key_value(name) else {
                    let mut problem = Problem::error(
                        codes::BAD_EXCLUDE,
                        format!(
                            "an exclusion of {owner} names the axis `{name}`, which it does not have"
                        ),
                    );
                    if let Some(near) =
                        suggest::closest(name, matrix.axes.keys().map(AxisName::as_str))
                    {
                        problem = problem.help(format!("did you mean `{near}`?"));
                    }
                    self.report(problem, at, "no such axis");
                    continue;
                };
                if !values.contains(&value) {
                    self.report(
                        Problem::error(codes::BAD_EXCLUDE, format!("an exclusion of {owner} names a value that the axis `{name}` does not have"))
                            .help(format!("values of `{name}`: {}", listed(values))),
                        node.span(),
                        "no such value",
                    );
                }
                excluded.insert(axis.clone(), value);
            }
            if excluded.len() == table.len() && !excluded.is_empty() {
                matrix.exclude.push(excluded);
            }
        }
    }
}

/// Whether every cell is excluded; ends at the first that is not.
fn matrix_is_empty(matrix: &Matrix) -> bool {
    if matrix.exclude.is_empty() {
        return false;
    }
    let cells: usize = matrix.axes.values().map(Vec::len).product();
    (0..cells).all(|mut cell| {
        let chosen: IndexMap<&AxisName, &String> = matrix
            .axes
            .iter()
            .map(|(axis, values)| {
                let value = &values[cell % values.len()];
                cell /= values.len();
                (axis, value)
            })
            .collect();
        matrix
            .exclude
            .iter()
            .any(|excluded| excluded.iter().all(|(axis, value)| chosen[axis] == value))
    })
}
