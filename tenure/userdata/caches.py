"""What Chrome makes anew without loss of anything that a login needs. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

# Folders, wherever they lie in a profile directory; as Chromium 156 names them.
_FOLDERS = frozenset(
    {
        "BrowserMetrics", "Cache", "Code Cache", "DawnGraphiteCache", "DawnWebGPUCache", "GPUCache",
        "GPUPersistentCache", "GrShaderCache", "GraphiteDawnCache", "Safe Browsing", "ShaderCache",
        "Shared Dictionary", "component_crx_cache", "extensions_crx_cache",
        "optimization_guide_model_store", "segmentation_platform",
    }
)  # fmt: skip
_PATTERNS = ("OptimizationGuide*", "Dawn*Cache", "*_crx_cache")
# In the directory itself: who runs on it, and where it is spoken to. Of no use to anybody else.
_OF_A_PROCESS = frozenset(
    {"SingletonLock", "SingletonSocket", "SingletonCookie", "DevToolsActivePort", "RunningChromeVersion"}
)


def is_cache(folder: str) -> bool:
    """Whether a folder of this name, with all that is below it, is made anew."""
    return folder in _FOLDERS or any(fnmatchcase(folder, pattern) for pattern in _PATTERNS)


def is_of_a_process(name: str) -> bool:
    """Whether an entry of the directory itself only tells of the browser that runs, or ran, on it."""
    return name in _OF_A_PROCESS
