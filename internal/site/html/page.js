(function(){var p=document.currentScript.dataset.path||location.pathname,m=/[?&](lang=\w+)/.exec(location.search);history.replaceState(null,"",p+(m?"?"+m[1]:""))})()
