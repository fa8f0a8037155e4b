//! The panes of the window's center and how they are arranged.

use eframe::egui;
use egui_tiles::{Container, Tile, TileId, Tiles, Tree};
use serde::{Deserialize, Serialize};

use super::theme;

/// One pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Pane {
    /// Sound over time.
    Timeline,
    /// Numbers over steps.
    Curves,
    /// Paths in principal components.
    Trajectory,
    /// Predictors side by side.
    Compare,
    /// What is heard, in measures.
    Battery,
    /// Work under way.
    Jobs,
}

impl Pane {
    /// All, in the order of the menu.
    pub const ALL: [Self; 6] = [Self::Timeline, Self::Curves, Self::Trajectory, Self::Compare, Self::Battery, Self::Jobs];

    /// Title.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeline => "Timeline",
            Self::Curves => "Curves",
            Self::Trajectory => "Trajectory",
            Self::Compare => "Compare",
            Self::Battery => "Battery",
            Self::Jobs => "Jobs",
        }
    }
}

/// An arrangement of panes.
pub type Layout = Tree<Pane>;

/// Timeline over curves over the rest, as tabs.
pub fn first() -> Layout {
    let mut tiles = Tiles::default();
    let timeline = tiles.insert_pane(Pane::Timeline);
    let curves = tiles.insert_pane(Pane::Curves);
    let rest = [Pane::Trajectory, Pane::Compare, Pane::Battery, Pane::Jobs].map(|pane| tiles.insert_pane(pane));
    let tabs = tiles.insert_tab_tile(rest.to_vec());
    let root = tiles.insert_vertical_tile(vec![timeline, curves, tabs]);
    if let Some(Tile::Container(Container::Linear(linear))) = tiles.get_mut(root) {
        for (tile, share) in [(timeline, theme::TIMELINE_SHARE), (curves, theme::CURVES_SHARE), (tabs, theme::TABS_SHARE)] {
            linear.shares.set_share(tile, share);
        }
    }
    Tree::new(egui::Id::unique("center"), root, tiles)
}

/// Each pane once, or none of it is usable: a file may hold anything.
pub fn is_whole(layout: &Layout) -> bool {
    let found: Vec<Pane> = layout.tiles.tiles().filter_map(|tile| if let Tile::Pane(pane) = tile { Some(*pane) } else { None }).collect();
    Pane::ALL.iter().all(|pane| found.iter().filter(|p| *p == pane).count() == 1) && layout.root().is_some()
}

/// Where a pane is.
pub fn find(layout: &Layout, pane: Pane) -> Option<TileId> {
    layout.tiles.find_pane(&pane)
}

/// Whether a pane can be seen without choosing its tab.
pub fn in_front(layout: &Layout, pane: Pane) -> bool {
    find(layout, pane).is_some_and(|tile| layout.active_tiles().contains(&tile))
}

/// Shows a hidden pane, hides a shown one; the last one stays.
pub fn toggle(layout: &mut Layout, pane: Pane) {
    let Some(tile) = find(layout, pane) else { return };
    let shown = Pane::ALL.iter().filter_map(|p| find(layout, *p)).filter(|t| layout.is_visible(*t)).count();
    let visible = layout.is_visible(tile);
    if !visible || shown > 1 {
        layout.set_visible(tile, !visible);
    }
}

/// Shows a pane and brings it to the front of its tabs.
pub fn show(layout: &mut Layout, pane: Pane) {
    if let Some(tile) = find(layout, pane) {
        layout.set_visible(tile, true);
        layout.make_active(|id, _| id == tile);
    }
}

/// How the tree is drawn: tabs only where several panes share a place.
pub struct Behavior<Draw: FnMut(&mut egui::Ui, Pane)> {
    /// Draws a pane.
    pub draw: Draw,
}

impl<Draw: FnMut(&mut egui::Ui, Pane)> egui_tiles::Behavior<Pane> for Behavior<Draw> {
    fn pane_ui(&mut self, ui: &mut egui::Ui, _tile: TileId, pane: &mut Pane) -> egui_tiles::UiResponse {
        (self.draw)(ui, *pane);
        egui_tiles::UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> egui::WidgetText {
        egui::RichText::new(pane.name()).size(theme::TEXT).into()
    }

    fn tab_bar_height(&self, _style: &egui::Style) -> f32 {
        theme::TAB_HEIGHT
    }

    fn gap_width(&self, _style: &egui::Style) -> f32 {
        theme::GAP * 0.5
    }

    fn min_size(&self) -> f32 {
        theme::SMALLEST_PANE
    }

    fn tab_bar_color(&self, visuals: &egui::Visuals) -> egui::Color32 {
        visuals.panel_fill
    }

    fn simplification_options(&self) -> egui_tiles::SimplificationOptions {
        egui_tiles::SimplificationOptions { all_panes_must_have_tabs: false, ..Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrangement_survives_its_file_and_a_broken_one_is_known() {
        let mut layout = first();
        toggle(&mut layout, Pane::Jobs);
        let text = serde_json::to_string(&layout).unwrap();
        let again: Layout = serde_json::from_str(&text).unwrap();
        assert_eq!(again, layout);
        assert!(is_whole(&again));
        let mut broken = first();
        let jobs = find(&broken, Pane::Jobs).unwrap();
        broken.remove_recursively(jobs);
        assert!(!is_whole(&broken));
    }

    #[test]
    fn the_last_pane_stays() {
        let mut layout = first();
        for pane in Pane::ALL {
            toggle(&mut layout, pane);
        }
        let shown = Pane::ALL.iter().filter(|p| layout.is_visible(find(&layout, **p).unwrap())).count();
        assert_eq!(shown, 1);
    }
}
