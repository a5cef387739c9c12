//! What one call may cost, per asset.

use h402_core::{Amount, AmountError, Asset, AssetId, Assets, Peg};
use std::sync::Arc;

/// The most that one call may cost, asset by asset. What is not listed is never paid with.
///
/// Assets come from here and nowhere else: a server that offers a token of the same symbol at another address, or
/// other decimals, is not understood (T070, T117).
///
/// ```
/// use h402_core::{Amount, Assets};
/// use h402_tower::pay::Cap;
///
/// let assets = Assets::known();
/// let usdc = assets.by_symbol("eip155:8453".parse()?, "USDC").expect("USDC on Base is in the table").clone();
/// let cap = Cap::new().allow(usdc.clone(), Amount::from_units("0.05", usdc.decimals)?);
/// assert_eq!(cap.of(&usdc.id), Some(Amount::from_atomic(50_000)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Cap {
    assets: Assets,
    limits: Vec<(AssetId, Amount)>,
}

/// The asset is not in the built-in table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("asset is not in the built-in table; describe it with h402_core::Asset")]
pub struct UnknownAsset;

impl Cap {
    /// Allows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows calls that cost up to `most` of `asset`, which is described as the chain has it.
    ///
    /// # Units
    /// The asset's smallest unit.
    pub fn allow(mut self, asset: impl Into<Arc<Asset>>, most: Amount) -> Self {
        let asset = Arc::unwrap_or_clone(asset.into());
        self.limits.retain(|(id, _)| *id != asset.id);
        self.limits.push((asset.id, most));
        self.assets = self.assets.with(asset);
        self
    }

    /// Allows calls that cost up to `most` of an asset of the built-in table.
    ///
    /// # Errors
    /// [`UnknownAsset`].
    pub fn allow_known(self, asset: &AssetId, most: Amount) -> Result<Self, UnknownAsset> {
        let asset = Assets::known().get(asset).cloned().ok_or(UnknownAsset)?;
        Ok(self.allow(asset, most))
    }

    /// Allows calls that cost up to `most` dollars of any asset of `assets` that is pegged to the dollar.
    ///
    /// ```
    /// let cap = h402_tower::pay::Cap::usd("0.05", &h402_core::Assets::known())?;
    /// # Ok::<(), h402_core::AmountError>(())
    /// ```
    ///
    /// # Errors
    /// [`AmountError`] if the text is no amount that each of them can express.
    pub fn usd(most: &str, assets: &Assets) -> Result<Self, AmountError> {
        let pegged = assets.iter().filter(|asset| asset.peg == Some(Peg::Usd));
        pegged.cloned().try_fold(Self::new(), |cap, asset| {
            let most = Amount::from_units(most, asset.decimals)?;
            Ok(cap.allow(asset, most))
        })
    }

    /// The most a call may cost in this asset; `None` if it is not paid with at all.
    #[must_use]
    pub fn of(&self, asset: &AssetId) -> Option<Amount> {
        self.limits.iter().find(|(id, _)| id == asset).map(|(_, most)| *most)
    }

    /// The assets that may be paid with.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        &self.assets
    }
}
