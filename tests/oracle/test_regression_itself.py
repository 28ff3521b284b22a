"""The regression oracle against printed figures, dense integrators and identities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
import quadrature as q
import regression as g
from quadrature import Prior
from scipy import integrate, special, stats

Array = npt.NDArray[np.float64]

# Two rules of quadrature that each give ten digits or more, or two closed forms.
SAME = 1e-9
# Tensor rules and adaptive integrators that were not pushed to their last digits.
DENSE = 1e-7
# Printed figures, in units of their last digit. That program's rules begin at
# tau = 1e-6, which takes 1.2e-7 from models with a half-normal prior of tau.
UNITS = 1.25

SPIKE = q.SPIKE_0
INVERSE_GAMMA, BETA = q.DEFAULT_HETEROGENEITY, q.DEFAULT_HIERARCHICAL


# ------------------------------------------------------------------- printed figures
#
# Exact figures by another program (coefficients analytically, the rest by composite
# Gauss-Legendre rules). First the log marginal likelihoods: effect, heterogeneity, bias
# and terms in turn, the last fastest, absent before present. ``component``: posterior
# probability, inclusion Bayes factor. ``averaged``, ``marginal``: mean, sd, probability
# of 0; of marginal means also the Savage-Dickey Bayes factor and the prior and
# posterior atom over the models with the effect or the term. ``conditional``: mean and
# sd over the models with the term. ``correlation``: mean on that scale. Of an
# interaction, the marginal rows leave its parents at 0.


ANDREWS = """
        -207.2262852 -208.9780517 -188.3682037 -187.6227755
        -.1989967 -1.3166838 -.9370616 -2.1086757
        -104.1905747 -80.7411459 -95.8525219 -79.7869295
        11.8496496 10.7098039 13.4757517 12.0060388
    component effect .9999985 662508.1
    component heterogeneity 1.0000000 3.4281e+40
    component measure .8257170 4.737796
    component age .1966350 .2447642
    mean tau .2429221
    conditional intercept .3307688 .0473940
    conditional_quantiles intercept .2388370 .3302088 .4257957
    averaged measure[direct] -.0960218 .0606452 .174283
    conditional measure[direct] -.1162890 .0457960
    conditional_quantiles measure[direct] -.2076301 -.1159113 -.0270442
    averaged measure[informant] .0960218 .0606452 .174283
    conditional measure[informant] .1162890 .0457960
    conditional_quantiles measure[informant] .0270442 .1159113 .2076301
    averaged age .0064174 .0251322 .803365
    conditional age .0326362 .0485439
    conditional_quantiles age -.0637215 .0328764 .1276496
    marginal intercept .3307683 .0473957 .000002 662508.1 .0000 .000000
    quantiles intercept .2388358 .3302087 .4257957
    correlation intercept .1630374
    marginal measure[direct] .2347465 .0701179 .000001 61.42797 .0000 .000000
    quantiles measure[direct] .1042642 .2313007 .3765950
    correlation measure[direct] .1163618
    marginal measure[informant] .4267901 .0832579 .000001 247620.3 .0000 .000000
    quantiles measure[informant] .2634033 .4307070 .5842855
    correlation measure[informant] .2082043
    marginal age[-1SD] .3243509 .0538405 .000001 3137.567 .0000 .000000
    quantiles age[-1SD] .2121067 .3256185 .4273484
    correlation age[-1SD] .1599209
    marginal age[+0SD] .3307683 .0473957 .000002 441672.2 .3333 .000000
    quantiles age[+0SD] .2388358 .3302087 .4257957
    correlation age[+0SD] .1630374
    marginal age[+1SD] .3371858 .0534524 .000001 53290.43 .0000 .000000
    quantiles age[+1SD] .2377450 .3349466 .4505293
    correlation age[+1SD] .1660766
"""
ANDREWS_TREATMENT = """
        -109.8786312 -110.9878919 9.7807715 8.2432504
        -95.2230707 -79.1168972 13.8511663 12.4035490
    component effect .9855389 68.15122
    component heterogeneity 1.0000000 2.84458e+40
    component measure .8756435 7.041398
    component age .1966378 .2447685
    mean tau .2419338
    conditional intercept .2375330 .0655791
    averaged measure[direct] .0000000 .0000000 1.000000
    averaged measure[informant] .1889130 .1106643 .124356
    conditional measure[informant] .2157419 .0905412
    averaged age .0064379 .0250296 .803362
    conditional age .0327401 .0482164
    marginal intercept .2340980 .0710109 .014461 68.15122 .0000 .000000
    marginal measure[direct] .2340980 .0710109 .014461 46.10078 .3333 .014460
    marginal measure[informant] .4230111 .0767001 .000001 296795 .0000 .000000
    quantiles measure[informant] .2694484 .4256666 .5693104
    marginal age[-1SD] .2276601 .0732410 .011903 18.73777 .0000 .000000
    marginal age[+0SD] .2340980 .0710109 .014461 45.55208 .3333 .002589
    marginal age[+1SD] .2405360 .0772905 .011903 26.92585 .0000 .000000
    quantiles age[+1SD] .0907239 .2383562 .3962215
"""
ANDREWS_PET_PEESE = """
        -56.4822490 -57.4682176 -34.4749913 -37.0232112
        -106.7469979 -108.4987644 -79.7065688 -78.3884181
        14.7230807 13.1091889 18.0079226 16.2661938
        11.5295494 10.0212296 13.3353071 11.7131664
        -57.8936490 -52.4449169 -38.2689821 -39.6203903
        -70.2329571 -61.3435442 -54.2471162 -53.0071390
        13.6410194 12.2099468 16.6033717 14.8709412
        13.7110686 12.3569725 16.3824056 14.6887198
    component effect .3224121 .4758232
    component heterogeneity 1.0000000 1.02125e+23
    component bias .9823908 55.78845
    component measure .9531784 20.35767
    component age .1523674 .1797564
    mean tau .2103295
    conditional intercept .1780045 .0969619
    averaged measure[direct] -.1255122 .0493396 .046822
    conditional measure[direct] -.1316775 .0417389
    averaged measure[informant] .1255122 .0493396 .046822
    conditional measure[informant] .1316775 .0417389
    averaged age -.0003115 .0179015 .847633
    conditional age -.0020444 .0458224
    marginal intercept .0573908 .0997663 .677588 .4758232 .0000 .000000
    correlation intercept .0284891
    marginal measure[direct] -.0681214 .1161481 .025703 .7978575 .0000 .000000
    correlation measure[direct] -.0339820
    marginal measure[informant] .1829030 .1062310 .025703 10.63034 .0000 .000000
    quantiles measure[informant] .0000000 .1529037 .4416130
    correlation measure[informant] .0906260
    marginal age[-1SD] .0577023 .0995291 .576015 .2816876 .0000 .000000
    correlation age[-1SD] .0286487
    marginal age[+0SD] .0573908 .0997663 .677588 .417151 .3333 .239567
    correlation age[+0SD] .0284891
    marginal age[+1SD] .0570793 .1031577 .576015 .2821657 .0000 .000000
    quantiles age[+1SD] -.0468729 .0000000 .3171067
    correlation age[+1SD] .0283214
"""
BCG_LOG_OR = """
        -113.7955456 -109.9638127 -101.6155674 -93.8836493
        -3.7050392 -3.2727190 -3.6011140 -3.3061696
        -62.3523703 -53.7480587 3.5504401 .1399031
        -.0041605 -.7104508 3.7779025 1.8329105
    component effect .9985560 691.5059
    component heterogeneity .5891368 1.4339
    component ablat .9823022 55.50428
    component alloc .0909936 .1001023
    mean tau .0851052
    conditional intercept -.3971882 .0512136
    conditional_quantiles intercept -.5121125 -.3935975 -.3016042
    averaged ablat -.2381393 .0571161 .017698
    conditional ablat -.2424298 .0477587
    conditional_quantiles ablat -.3211128 -.2489737 -.1254217
    averaged alloc[alternate] .0014202 .0306959 .909006
    conditional alloc[alternate] .0156074 .1006657
    conditional_quantiles alloc[alternate] -.1925966 .0178047 .2227289
    averaged alloc[random] -.0057365 .0330672 .909006
    conditional alloc[random] -.0630433 .0916727
    conditional_quantiles alloc[random] -.2724937 -.0506052 .0905346
    averaged alloc[systematic] .0043164 .0329843 .909006
    conditional alloc[systematic] .0474359 .0995544
    conditional_quantiles alloc[systematic] -.1205596 .0368096 .2673232
    marginal intercept -.3966147 .0533529 .001444 691.5059 .0000 .000000
    quantiles intercept -.5120572 -.3935284 -.2995277
    marginal ablat[-1SD] -.1584754 .0734972 .000714 5.18287 .0000 .000000
    quantiles ablat[-1SD] -.3488339 -.1436603 -.0517507
    marginal ablat[+0SD] -.3966147 .0533529 .001444 461.3411 .3333 .000731
    quantiles ablat[+0SD] -.5120572 -.3935284 -.2995277
    marginal ablat[+1SD] -.6347540 .0825574 .000714 502.7464 .0000 .000000
    quantiles ablat[+1SD] -.7798998 -.6406981 -.4403186
    marginal alloc[alternate] -.3951945 .0648153 .000593 78.33883 .0000 .000000
    quantiles alloc[alternate] -.5261094 -.3929308 -.2742941
    marginal alloc[random] -.4023512 .0585887 .000593 733.9894 .0000 .000000
    quantiles alloc[random] -.5418397 -.3956282 -.3064170
    marginal alloc[systematic] -.3922983 .0634789 .000593 58.42814 .0000 .000000
    quantiles alloc[systematic] -.5138735 -.3923971 -.2569199
"""
BCG_LOG_RR = """
        -126.6651903 -120.0454798 -113.2796203 -105.0965070
        -20.7126806 -20.2294561 -20.5298158 -20.0744705
        -73.5232945 -66.9417641 -16.1603282 -17.0901491
        -16.6467318 -16.7747989 -13.4986493 -14.2776455
    component effect .9974364 389.0753
    component heterogeneity .9406595 15.85189
    component ablat .9496472 18.85985
    component alloc .3209809 .4727126
    mean tau .2809900
    conditional intercept -.6852682 .1188454
    averaged ablat -.3382644 .1312717 .050353
    conditional ablat -.3562001 .1084309
    averaged alloc[alternate] .0202435 .0907312 .679019
    conditional alloc[alternate] .0630678 .1514795
    averaged alloc[random] -.0403205 .0969802 .679019
    conditional alloc[random] -.1256166 .1363331
    averaged alloc[systematic] .0200770 .0899273 .679019
    conditional alloc[systematic] .0625488 .1501260
    marginal intercept -.6835114 .1236478 .002564 389.0753 .0000 .000000
    quantiles intercept -.9333856 -.6801665 -.4427778
    marginal ablat[-1SD] -.3452470 .1719513 .001176 7.269136 .0000 .000000
    quantiles ablat[-1SD] -.7632891 -.3190202 -.0745423
    marginal ablat[+0SD] -.6835114 .1236478 .002564 259.7444 .3333 .001389
    quantiles ablat[+0SD] -.9333856 -.6801665 -.4427778
    marginal ablat[+1SD] -1.0217759 .1883476 .001176 291.7905 .0000 .000000
    quantiles ablat[+1SD] -1.3392032 -1.0428075 -.5696900
    marginal alloc[alternate] -.6632679 .1637343 .000987 45.42099 .0000 .000000
    quantiles alloc[alternate] -.9755253 -.6694467 -.3002806
    marginal alloc[random] -.7238320 .1433921 .000987 371.0335 .0000 .000000
    quantiles alloc[random] -1.0465925 -.7094857 -.4735560
    marginal alloc[systematic] -.6634344 .1556289 .000987 48.00845 .0000 .000000
    quantiles alloc[systematic] -.9467760 -.6719895 -.3012397
"""
BCG_LOG_RR_WIDE = """
        -126.6651903 -120.8380981 -113.7429660 -106.2932915
        -20.0741711 -19.4634647 -19.9995015 -19.5775777
        -73.5232945 -67.9241131 -15.8077723 -17.7014554
        -15.8884458 -16.5988935 -13.1641595 -14.7609796
    component effect .9960008 249.0474
    component heterogeneity .9410500 15.96353
    component ablat .9274622 12.78592
    component alloc .1793967 .2186156
    mean tau .3248149
    conditional intercept -.6952876 .1306337
    averaged ablat -.3637193 .1529763 .072538
    conditional ablat -.3921661 .1186429
    averaged alloc[alternate] .0145791 .0963998 .820603
    conditional alloc[alternate] .0812672 .2153636
    averaged alloc[random] -.0331641 .1068635 .820603
    conditional alloc[random] -.1848646 .1887130
    averaged alloc[systematic] .0185850 .0951551 .820603
    conditional alloc[systematic] .1035975 .2041197
    marginal intercept -.6925070 .1375592 .003999 249.0474 .0000 .000000
    marginal ablat[-1SD] -.3287877 .1918107 .002043 2.029516 .0000 .000000
    marginal ablat[+0SD] -.6925070 .1375592 .003999 166.3577 .3333 .001960
    marginal ablat[+1SD] -1.0562262 .2187630 .002043 182.4796 .0000 .000000
    marginal alloc[alternate] -.6779279 .1815643 .001494 17.35307 .0000 .000000
    marginal alloc[random] -.7256711 .1550438 .001494 299.2962 .0000 .000000
    marginal alloc[systematic] -.6739219 .1718448 .001494 16.79932 .0000 .000000
"""
SCHOOLS = """
        -197.0752878 -197.9839344 25.7852404 25.0667909
        -187.6329247 -175.9993670 25.7010222 24.7444179
    component effect .4610289 .8553871
    component heterogeneity 1.0000000 1.188041e+88
    component year .3046020 .4380253
    mean tau .3297418
    mean rho .6654338
    conditional intercept .1785403 .0849202
    conditional_quantiles intercept .0098157 .1784323 .3476007
    averaged year .0173767 .0577949 .695398
    conditional year .0570471 .0932891
    conditional_quantiles year -.1265243 .0563887 .2437899
    marginal intercept .0823122 .1060444 .538971 .8553871 .0000 .000000
    quantiles intercept .0000000 .0000000 .3132928
    marginal year[-1SD] .0649356 .1253390 .362332 .533237 .0000 .000000
    quantiles year[-1SD] -.1713252 .0000000 .3190524
    marginal year[+0SD] .0823122 .1060444 .538971 .7887477 .3333 .277008
    quantiles year[+0SD] .0000000 .0000000 .3132928
    marginal year[+1SD] .0996889 .1160236 .362332 .6424444 .0000 .000000
    quantiles year[+1SD] -.0440150 .0734705 .3469931
"""
ASSINK = """
        -486.6446174 -479.6820040 -488.0513183 -481.5959177
        -269.1235676 -197.9619114 -220.1067146 -174.6165560
        -6.6744982 -6.5008301 -6.7214505 -6.3584275
        2.0777352 1.2992224 2.4460442 1.6149375
        -277.1914465 -220.9681468 -201.2155745 -136.6758954
        -258.0572564 -172.2946167 -174.9957854 -120.5110015
        -3.2058883 -3.1553687 -1.9601624 -1.8987570
        1.0849464 1.4950907 2.0264531 2.4702010
    component effect .4907640 .963726
    component heterogeneity 1.0000000 1.205131e+54
    component deltype .9931551 145.0936
    component year .6544007 1.893525
    component pubstatus .4541342 .831952
    mean tau .4649284
    mean rho .6513459
    conditional intercept .2819214 .1472796
    averaged deltype[covert] -.3608878 .1147352 .006845
    conditional deltype[covert] -.3633751 .1111354
    averaged deltype[general] .2942225 .0823758 .006845
    conditional deltype[general] .2962503 .0789417
    averaged deltype[overt] .0666653 .0884475 .006845
    conditional deltype[overt] .0671248 .0885779
    averaged year -.1078246 .1082251 .345599
    conditional year -.1647684 .0922809
    averaged pubstatus[0] .0546346 .1135581 .545866
    conditional pubstatus[0] .1203051 .1431613
    averaged pubstatus[1] -.0546346 .1135581 .545866
    marginal intercept .1383569 .1746667 .509236 .963726 .0000 .000000
    marginal deltype[covert] -.2225310 .2438806 .000103 .8797213 .0000 .000000
    quantiles deltype[covert] -.5713199 -.2843952 .3178582
    marginal deltype[general] .4325794 .1538472 .000103 624.9416 .0000 .000000
    marginal deltype[overt] .2050221 .1901356 .000103 .4441582 .0000 .000000
    marginal year[-1SD] .2461814 .2227834 .210263 1.404086 .0000 .000000
    marginal year[+0SD] .1383569 .1746667 .509236 1.033885 .3333 .378573
    marginal year[+1SD] .0305323 .1865738 .210263 .5628263 .0000 .000000
    marginal pubstatus[0] .1929915 .2620721 .352340 .6825405 .0000 .000000
    marginal pubstatus[1] .0837222 .1346327 .352340 .4444867 .0000 .000000
"""
ASSINK_INTERACTION = """
        -469.1289184 -468.3121359 -188.9858559 -185.5346242
        -6.3262531 -5.4598306 1.4170481 1.1237884
        -237.3664002 -187.3678118 -179.3034238 -174.9582711
        -3.1898853 -.6161080 .3763956 .7900562
    component effect .3589091 .5598413
    component heterogeneity 1.0000000 2.031462e+77
    component deltype .9815124 53.09036
    component year .6017028 1.510688
    component deltype:year .2745062 .3783716
    mean tau .4721721
    mean rho .6646938
    conditional intercept .2207783 .1337001
    averaged deltype[covert] -.3775485 .1305205 .018488
    conditional deltype[covert] -.3846599 .1209173
    averaged deltype[general] .2980844 .0908228 .018488
    conditional deltype[general] .3036991 .0818474
    averaged deltype[overt] .0794641 .0917661 .018488
    conditional deltype[overt] .0809608 .0919699
    averaged year -.0978235 .1154521 .398297
    conditional year -.1625777 .1078186
    averaged deltype:year[covert] .0135648 .1178118 .725494
    conditional deltype:year[covert] .0494154 .2208860
    averaged deltype:year[general] -.0170599 .0687537 .725494
    conditional deltype:year[general] -.0621477 .1200757
    averaged deltype:year[overt] .0034951 .0719335 .725494
    conditional deltype:year[overt] .0127323 .1368661
    marginal intercept .0792394 .1327826 .641091 .5598413 .0000 .000000
    marginal deltype[covert] -.2983091 .2248282 .000204 1.44185 .0000 .000000
    quantiles deltype[covert] -.6203875 -.3485772 .2855059
    marginal deltype[general] .3773238 .1054745 .000204 738.5225 .0000 .000000
    marginal deltype[overt] .1587034 .1578811 .000204 .390404 .0000 .000000
    marginal year[-1SD] .1770628 .1997314 .290453 .9135246 .0000 .000000
    marginal year[+0SD] .0792394 .1327826 .641091 .7378537 .3333 .494171
    marginal year[+1SD] -.0185841 .1484189 .290453 .4479332 .0000 .000000
    marginal deltype:year[covert] .0928042 .1508853 .468285 .6918068 .0000 .000000
    marginal deltype:year[general] .0621794 .1617343 .468285 .5893791 .0000 .000000
    marginal deltype:year[overt] .0827344 .1665846 .468285 .5100933 .0000 .000000
    quantiles deltype:year[overt] -.1577722 .0000000 .5105000
"""
ASSINK_HEREDITY = """
    component effect .3638599 .5719806
    component heterogeneity 1.0000000 1.742422e+77
    component deltype .9948275 128.2205
    component year .6908364 1.489689
    component deltype:year .1485686 .6979707
    mean tau .4731932
    mean rho .6672264
    conditional intercept .2159655 .1267903
    averaged deltype[covert] -.3724332 .1189049 .005172
    conditional deltype[covert] -.3743696 .1161334
    averaged deltype[general] .2980081 .0834110 .005172
    conditional deltype[general] .2995576 .0808048
    averaged deltype[overt] .0744251 .0897544 .005172
    conditional deltype[overt] .0748121 .0898265
    averaged year -.1099460 .1141024 .309164
    conditional year -.1591491 .1049532
    averaged deltype:year[covert] -.0000673 .0807689 .851431
    conditional deltype:year[covert] -.0004528 .2095463
    averaged deltype:year[general] -.0038201 .0465116 .851431
    conditional deltype:year[general] -.0257125 .1183142
    averaged deltype:year[overt] .0038873 .0509185 .851431
    conditional deltype:year[overt] .0261652 .1298778
    marginal intercept .0785812 .1290161 .636140 .5719806 .0000 .000000
    marginal deltype[covert] -.2938520 .2071702 .000069 1.40197 .0000 .000000
    quantiles deltype[covert] -.5956728 -.3398258 .2042364
    marginal deltype[general] .3765893 .1066588 .000069 825.9367 .0000 .000000
    marginal deltype[overt] .1530063 .1574532 .000069 .3912732 .0000 .000000
    marginal year[-1SD] .1885271 .1916831 .224755 .965275 .0000 .000000
    marginal year[+0SD] .0785812 .1290161 .636140 .7616685 .3750 .530652
    marginal year[+1SD] -.0313648 .1502885 .224755 .4669995 .0000 .000000
    marginal deltype:year[covert] .0785139 .1400683 .549574 .5601316 .0000 .000000
    marginal deltype:year[general] .0747611 .1424242 .549574 .4877019 .0000 .000000
    marginal deltype:year[overt] .0824685 .1459839 .549574 .4962976 .0000 .000000
    quantiles deltype:year[overt] -.0926442 .0000000 .4466398
"""

PRINTED = {
    "andrews": ANDREWS,
    "andrews_treatment": ANDREWS_TREATMENT,
    "andrews_pet_peese": ANDREWS_PET_PEESE,
    "bcg_log_or": BCG_LOG_OR,
    "bcg_log_rr": BCG_LOG_RR,
    "bcg_log_rr_wide": BCG_LOG_RR_WIDE,
    "schools": SCHOOLS,
    "assink": ASSINK,
    "assink_interaction": ASSINK_INTERACTION,
    "assink_heredity": ASSINK_HEREDITY,
}
KINDS = (
    "component",
    "mean",
    "averaged",
    "conditional",
    "conditional_quantiles",
    "marginal",
    "quantiles",
    "correlation",
)
# What the blocks of log marginal likelihoods leave out stands in another one.
ONLY = {
    "andrews_treatment": g.all_of("measure"),
    "andrews_pet_peese": g.all_of("bias"),
    "assink_interaction": g.all_of("deltype:year"),
}


def _andrews(
    contrast: str = "meandif", bias: tuple[g.Side, ...] = g.NO_BIAS, sd: float = 0.25
) -> tuple[g.Design, g.Ensemble]:
    data, columns = g.andrews()
    terms = ["measure", "age"]
    made = g.design({name: columns[name] for name in terms}, terms, contrast)
    return made, g.ensemble(data, made, bias=bias, sd=sd)


def _bcg(
    measure: str, tau: Prior = INVERSE_GAMMA, sd: float = 0.25
) -> tuple[g.Design, g.Ensemble]:
    data, columns = g.bcg(measure)
    terms = ["ablat", "alloc"]
    made = g.design({name: columns[name] for name in terms}, terms)
    sides = (g.Side(0.0, False), g.Side(tau, True))
    return made, g.ensemble(data, made, heterogeneity=sides, sd=sd)


def _schools(
    centre: float | None = None, spread: float | None = None
) -> tuple[g.Design, g.Ensemble]:
    data, columns = g.clustered("konstantopoulos2011", "district")
    year = g.continuous("year", columns["year"], centre, spread)
    made = g.design({"year": year}, ["year"])
    return made, g.ensemble(data, made)


@cache
def _all_of_assink() -> tuple[g.Design, g.Ensemble]:
    """All models that one of the three ensembles has."""
    data, columns = g.clustered("assink2016", "study")
    made = g.design(
        {
            "deltype": columns["deltype"],
            "year": columns["year"],
            "pubstatus": columns["pubstatus"].astype(int).astype(str),
        },
        ["deltype", "year", "pubstatus", "deltype:year"],
    )
    never = g.all_of("pubstatus", "deltype:year")
    return made, g.ensemble(data, made, which=lambda on: not never(on))


@cache
def printed(name: str) -> tuple[g.Design, g.Ensemble]:
    """Design and ensemble of a block of printed figures."""
    if name.startswith("assink"):
        made, everything = _all_of_assink()
        which = {
            "assink": g.none_of("deltype:year"),
            "assink_interaction": g.none_of("pubstatus"),
            "assink_heredity": lambda on: (
                "pubstatus" not in on and g.respects_marginality(on)
            ),
        }[name]
        return made, everything.subset(which)
    make: Callable[[], tuple[g.Design, g.Ensemble]] = {
        "andrews": _andrews,
        "andrews_treatment": lambda: _andrews("treatment"),
        "andrews_pet_peese": lambda: _andrews(bias=g.PET_PEESE),
        "bcg_log_or": lambda: _bcg("logOR"),
        "bcg_log_rr": lambda: _bcg("logRR"),
        "bcg_log_rr_wide": lambda: _bcg(
            "logRR", Prior("normal", (0.0, 0.5), lower=0.0), 0.5
        ),
        "schools": _schools,
    }[name]
    return make()


def as_printed(made: g.Design, label: str) -> tuple[str, Array]:
    """Term and row c of ``intercept``, ``x``, ``x[+1SD]``, ``g[level]`` and so on.

    An interaction with a continuous predictor stands for its value at one sd.
    """
    name, _, level = label.rstrip("]").partition("[")
    if name == "intercept":
        return "effect", made.intercept()
    value = float(level[:-2]) if level.endswith("SD") else level or 1.0
    values = [value, 1.0] if ":" in name else [value]
    return name, made.deviation(name, *values)


def in_printed_order(
    made: g.Design, ensemble: g.Ensemble, name: str
) -> Iterator[g.Member]:
    present = frozenset().union(*(m.on for m in ensemble.members))
    terms = [term for term in made.terms if term in present]
    kinds = list(dict.fromkeys(m.bias_kind for m in ensemble.members))
    only = ONLY.get(name, lambda _: True)
    for effect, tau, kind in product((False, True), (False, True), kinds):
        for switches in product((False, True), repeat=len(terms)):
            on = {term for term, is_in in zip(terms, switches, strict=True) if is_in}
            flags = zip(
                (effect, tau, kind is not None),
                ("effect", "heterogeneity", "bias"),
                strict=True,
            )
            on |= {component for is_in, component in flags if is_in}
            if only(frozenset(on)):
                yield ensemble.find(*on, bias=kind)


def computed(
    made: g.Design, ensemble: g.Ensemble, kind: str, label: str
) -> tuple[float, ...]:
    """What a line of printed figures says."""
    if kind == "component":
        found = ensemble.inclusion(label)
        return found.posterior, found.bf
    if kind == "mean":
        return ensemble.moments(label)[:1]
    name, c = as_printed(made, label)
    if kind in ("marginal", "quantiles", "correlation") and label != "intercept":
        c = c + made.intercept()
    if kind.startswith("conditional"):
        ensemble = ensemble.subset(g.any_of(name))
    found = ensemble.combination(c)
    if kind.endswith("quantiles"):
        return tuple(found.quantile(p) for p in q.PROBABILITIES)
    if kind == "correlation":
        return (found.expectation(lambda d: d / np.sqrt(d**2 + 4.0)),)
    summary = found.mean(), found.deviation(), found.atom(0.0)
    if kind != "marginal":
        return summary[:2] if kind == "conditional" else summary
    ordinate = ensemble.subset(g.any_of("effect", name)).savage_dickey(c)
    return *summary, ordinate.bf, ordinate.prior_atom, ordinate.posterior_atom


def last_digit(text: str) -> float:
    """One unit in the last printed digit."""
    digits, _, exponent = text.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def misses(pairs: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Printed figures that are not met, with what was found."""
    return [
        (text, found)
        for text, found in pairs
        if not abs(float(text) - found) <= UNITS * last_digit(text)
    ]


@pytest.mark.parametrize("name", PRINTED)
def test_printed_figures_are_met(name: str) -> None:
    made, ensemble = printed(name)
    lines = [line.split() for line in PRINTED[name].strip().splitlines()]
    rows = [line for line in lines if line[0] in KINDS]
    logml = [text for line in lines if line not in rows for text in line]
    if logml:
        members = list(in_printed_order(made, ensemble, name))
        found = [member.posterior.logml for member in members]
        assert misses(list(zip(logml, found, strict=True))) == []
    for kind, label, *texts in rows:
        found = computed(made, ensemble, kind, label)
        assert misses(list(zip(texts, found, strict=True))) == [], (kind, label)


def test_doubling_every_rule_of_the_printed_ensembles_changes_nothing() -> None:
    errors = [
        member.posterior.logml_error
        for name in PRINTED
        for member in printed(name)[1].members
    ]
    assert 0.0 <= max(errors) < g.LOGML_TOLERANCE


def test_converted_estimates_are_as_printed() -> None:
    data, _ = g.andrews()
    y, se = (".07011467", ".03301199", ".17166666"), (".04789014", ".04390093")
    pairs = [*zip(y, data.y, strict=False), *zip(se, data.se, strict=False)]
    assert misses(pairs) == []
    data, _ = g.bcg("logOR")
    y, se = ("-.25596052", "-.44452441", "-.37341339"), (".1688331", ".12226461")
    pairs = [*zip(y, data.y, strict=False), *zip(se, data.se, strict=False)]
    assert misses(pairs) == []


def test_pooled_effect_and_predictions_are_as_printed() -> None:
    made, ensemble = printed("andrews")
    pooled = ensemble.combination(made.sample())
    new = ensemble.combination(made.sample(), tau=True)
    balanced = ensemble.combination(made.intercept(), tau=True)
    age = made.parents["age"]
    per_year = ensemble.combination(made.deviation("age", 1.0 / age.spread))
    at_birth = ensemble.combination(made.cell(age=-age.centre / age.spread))
    expected = {
        "6.415927591667": age.centre,
        "3.877820876993": age.spread,
        ".314764711804": pooled.mean(),
        ".046696515971": pooled.deviation(),
        "1.0255187733e-6": pooled.atom(0.0),
        ".224585096907": pooled.quantile(0.025),
        ".314087835665": pooled.quantile(0.5),
        ".408732909057": pooled.quantile(0.975),
        "-.179400083874": new.quantile(0.025),
        ".313890777095": new.quantile(0.5),
        ".813671975982": new.quantile(0.975),
        "-.164105569823": balanced.quantile(0.025),
        ".330045126983": balanced.quantile(0.5),
        ".829497657703": balanced.quantile(0.975),
        ".001654903151": per_year.mean(),
        ".320150606610": at_birth.mean(),
        ".063323300719": at_birth.deviation(),
        ".1700011129": at_birth.quantile(0.025),
        ".432119943666": at_birth.quantile(0.975),
    }
    assert misses(list(expected.items())) == []
    made, ensemble = printed("bcg_log_rr")
    pooled = ensemble.combination(made.sample())
    new = ensemble.combination(made.sample(), tau=True)
    expected = {
        "-.695930549477": pooled.mean(),
        ".121918137717": pooled.deviation(),
        ".000987151961": pooled.atom(0.0),
        "-1.436958586662": new.quantile(0.025),
        ".028688362116": new.quantile(0.975),
    }
    assert misses(list(expected.items())) == []


@pytest.mark.parametrize(
    ("name", "row", "mean", "sd"),
    [
        ("andrews", 0, ".07643345", ".04461638"),
        ("andrews", 1, ".04278585", ".04139665"),
        ("andrews", 35, "-.05807096", ".04377527"),
        ("schools", 0, "-.03743107", ".10707403"),
        ("schools", 1, "-.04154840", ".10707131"),
        ("schools", 55, ".04212462", ".08978652"),
    ],
)
def test_true_effects_are_as_printed(name: str, row: int, mean: str, sd: str) -> None:
    _, ensemble = printed(name)
    found = ensemble.mix(lambda model: model.true_effect(row))
    assert misses([(mean, found.mean()), (sd, found.deviation())]) == []


def test_joint_bayes_factors_are_as_printed() -> None:
    _, ensemble = printed("andrews")
    neither = g.none_of("measure", "age")
    found = {
        "2.191045111553": ensemble.compare(g.any_of("measure", "age"), neither).bf,
        "1.169275179481": ensemble.compare(g.all_of("measure", "age"), neither).bf,
    }
    assert misses(list(found.items())) == []


def test_pairwise_contrasts_are_as_printed() -> None:
    made, ensemble = printed("bcg_log_rr")
    ensemble = ensemble.subset(g.any_of("alloc"))
    row = {
        level: made.deviation("alloc", level)
        for level in ("alternate", "random", "systematic")
    }
    for one, other, bf, mean in (
        ("alternate", "random", ".776888", ".188684"),
        ("alternate", "systematic", ".611752", ".000519"),
        ("random", "systematic", ".657398", "-.188165"),
    ):
        c = row[one] - row[other]
        found = ensemble.savage_dickey(c).bf, ensemble.combination(c).mean()
        assert misses(list(zip((bf, mean), found, strict=True))) == []


@pytest.mark.parametrize(
    ("rule", "texts"),
    [
        ("clusters", "1990.591 9.8408 .88831 .39841 .08458"),
        ("precision", "1993.828 10.1640 .93262 .37244 .08860"),
        ("earliest", "1976.000 10.1640 .46587 1.08650 .05144"),
    ],
)
def test_centre_and_scale_of_a_predictor_matter_as_printed(
    rule: str, texts: str
) -> None:
    data, columns = g.clustered("konstantopoulos2011", "district")
    year, labels = columns["year"], np.unique(data.cluster)
    means = np.array([year[data.cluster == label].mean() for label in labels])
    centre, spread = {
        "clusters": (means.mean(), means.std(ddof=1)),
        "precision": (np.average(year, weights=data.se**-2.0), year.std(ddof=1)),
        "earliest": (year.min(), year.std(ddof=1)),
    }[rule]
    made, ensemble = _schools(centre, spread)
    found = (
        centre,
        spread,
        ensemble.inclusion("effect").bf,
        ensemble.inclusion("year").bf,
        ensemble.combination(made.intercept()).mean(),
    )
    assert misses(list(zip(texts.split(), found, strict=True))) == []


@pytest.mark.parametrize(
    ("sd", "texts"),
    [
        (0.0625, "5.16886 .75892 549272"),
        (0.125, "6.55562 .45532 734298"),
        (0.5, "2.68571 .12911 500198"),
        (1.0, "1.40379 .06846 362702"),
    ],
)
def test_bayes_factors_depend_on_the_scale_of_the_terms_as_printed(
    sd: float, texts: str
) -> None:
    _, ensemble = _andrews(sd=sd)
    found = [ensemble.inclusion(name).bf for name in ("measure", "age", "effect")]
    assert misses(list(zip(texts.split(), found, strict=True))) == []


@pytest.mark.parametrize(
    ("kind", "effect", "term"),
    [(str, "30.07184", "1.05598"), (float, "41.49783", "1.02920")],
)
def test_a_number_of_two_values_is_no_factor(
    kind: type, effect: str, term: str
) -> None:
    data, columns = g.clustered("assink2016", "study")
    status = columns["pubstatus"].astype(kind)
    made = g.design({"pubstatus": status}, ["pubstatus"])
    ensemble = g.ensemble(data, made)
    found = [ensemble.inclusion(name).bf for name in ("effect", "pubstatus")]
    assert misses(list(zip((effect, term), found, strict=True))) == []


# ------------------------------------------------------- against denser, slower rules


def dense_log_density(model: g.Posterior, tau: float, rho: float, bias: float) -> float:
    """log p(y | tau, rho, bias) from the marginal covariance of the estimates."""
    data, Z = model.data, model.data.scale * model.X
    mean = Z @ model.prior_mean
    if model.bias_kind is not None:
        mean = mean + bias * data.bias_column(model.bias_kind)
    S = g.covariance(data, tau, rho) + Z @ np.diag(model.prior_sd**2) @ Z.T
    return float(stats.multivariate_normal.logpdf(data.y, mean, S))


def panels(points: list[float], nodes: int) -> tuple[Array, Array]:
    """Nodes and weights of a composite Gauss-Legendre rule."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    edges = np.array(points)
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])
    return (middle[:, None] + half * x).ravel(), (half * w).ravel()


def test_log_marginal_likelihoods_agree_with_an_adaptive_integrator() -> None:
    for name in ("bcg_log_or", "bcg_log_rr_wide"):
        prior = {
            "bcg_log_or": stats.invgamma(1.0, scale=0.15),
            "bcg_log_rr_wide": stats.halfnorm(scale=0.5),
        }[name]
        _, ensemble = printed(name)
        model = ensemble.find("effect", "heterogeneity", "ablat", "alloc").posterior

        def integrand(tau: float, model=model, prior=prior) -> float:
            log_density = dense_log_density(model, tau, 0.0, 0.0)
            return math.exp(log_density + prior.logpdf(tau) - model.logml)

        parts = [
            integrate.quad(integrand, *ends, epsabs=1e-12, epsrel=1e-11)[0]
            for ends in ((0.0, 0.1), (0.1, 0.4), (0.4, 3.0), (3.0, 60.0))
        ]
        assert sum(parts) == pytest.approx(1.0, abs=SAME)


def test_quantiles_of_tau_agree_with_an_adaptive_integrator() -> None:
    _, ensemble = printed("andrews")
    model = ensemble.find("effect", "heterogeneity", "measure").posterior
    alone = ensemble.subset(
        lambda on: on == frozenset({"effect", "heterogeneity", "measure"})
    )

    def integrand(tau: float) -> float:
        log_density = dense_log_density(model, tau, 0.0, 0.0)
        log_prior = stats.invgamma.logpdf(tau, 1.0, scale=0.15)
        return math.exp(log_density + log_prior - model.logml)

    for probability in (0.025, 0.5, 0.975):
        x = alone.quantile("tau", probability)
        below = integrate.quad(integrand, 1e-3, x, epsabs=1e-11, epsrel=1e-10)[0]
        assert below == pytest.approx(probability, abs=DENSE)


def test_without_terms_the_answers_are_those_of_the_model_for_one_mean() -> None:
    _, ensemble = printed("schools")
    alone = ensemble.subset(lambda on: on == frozenset({"effect", "heterogeneity"}))
    model = alone.members[0].posterior
    data = model.data
    exact = q.log_marginal(
        data.y,
        data.se,
        data.cluster,
        {"mu": q.DEFAULT_EFFECT, "tau": INVERSE_GAMMA, "rho": BETA},
    )
    assert model.logml == pytest.approx(exact.logml, abs=SAME)
    mu = alone.combination([1.0, 0.0])
    assert mu.mean() == pytest.approx(exact.mean["mu"], abs=SAME)
    assert mu.deviation() == pytest.approx(exact.sd["mu"], abs=SAME)
    for i, probability in enumerate(q.PROBABILITIES):
        found = {
            "mu": mu.quantile(probability),
            "tau": alone.quantile("tau", probability),
            "rho": alone.quantile("rho", probability),
        }
        for name, value in found.items():
            assert value == pytest.approx(exact.quantile[name][i], abs=DENSE)
    for name in ("tau", "rho"):
        expected = exact.mean[name], exact.sd[name]
        assert alone.moments(name) == pytest.approx(expected, abs=SAME)


def test_intercept_and_slope_integrated_numerically_give_the_same() -> None:
    """Neither conjugacy nor Woodbury: dense normals on a grid of b_0, b_1, tau."""
    case = g.made_designs()["unequal_clusters"]
    data = g.Data(case.data.y[:7], case.data.se[:7], case.data.cluster[:7])
    x = g.continuous("x", case.columns["x"][:7])
    X = np.column_stack([np.ones(7), x.columns])
    mean, sd, rho = np.array([0.1, 0.0]), np.array([0.5, 0.4]), 0.6
    model = g.posterior(data, X, mean, sd, INVERSE_GAMMA, rho)
    b_0, w_0 = panels(np.linspace(-3.5, 3.5, 9).tolist(), 14)
    b_1, w_1 = panels([-3.0, -1.2, -0.5, 0.0, 0.5, 1.2, 3.0], 16)
    log_tau, w_tau = panels(np.linspace(-6.0, 7.0, 9).tolist(), 14)
    residual = data.y - 0.5 * (b_0[:, None, None] + b_1[:, None] * X[:, 1])
    at_zero = data.y - 0.5 * b_0[:, None] * X[:, 0]
    log_prior_0 = stats.norm.logpdf(b_0, mean[0], sd[0])
    log_prior = log_prior_0[:, None] + stats.norm.logpdf(b_1, mean[1], sd[1])
    on_grid, ordinate = np.zeros((b_0.size, b_1.size)), 0.0
    for t, w in zip(log_tau, w_tau, strict=True):
        tau = math.exp(t)
        normal = stats.multivariate_normal(cov=g.covariance(data, tau, rho))
        w = w * tau * stats.invgamma.pdf(tau, 1.0, scale=0.15)
        on_grid += w * np.exp(normal.logpdf(residual) + log_prior)
        along = np.exp(normal.logpdf(at_zero) + log_prior_0)
        ordinate += w * float(w_0 @ along) * stats.norm.pdf(0.0, mean[1], sd[1])
    marginal = w_0 @ on_grid
    total = float(marginal @ w_1)
    assert model.logml == pytest.approx(math.log(total), abs=DENSE)
    slope = model.combination([0.0, 1.0])
    expected = float(marginal @ (w_1 * b_1)) / total
    assert slope.mean() == pytest.approx(expected, abs=DENSE)
    second = float(marginal @ (w_1 * (b_1 - expected) ** 2)) / total
    assert slope.deviation() == pytest.approx(math.sqrt(second), abs=DENSE)
    above = float(marginal[b_1 > 0] @ w_1[b_1 > 0]) / total
    assert slope.above(0.0) == pytest.approx(above, abs=DENSE)
    assert slope.density(0.0) == pytest.approx(ordinate / total, abs=DENSE)
    # A combination of both.
    both = model.combination([1.0, -2.0])
    values = b_0[:, None] - 2.0 * b_1
    expected = float(w_0 @ (on_grid * values) @ w_1) / total
    assert both.mean() == pytest.approx(expected, abs=DENSE)
    second = float(w_0 @ (on_grid * (values - expected) ** 2) @ w_1) / total
    assert both.deviation() == pytest.approx(math.sqrt(second), abs=DENSE)


@pytest.mark.parametrize(("kind", "scale"), [("PET", 1.0), ("PEESE", 5.0)])
def test_bias_tau_and_rho_on_a_dense_grid_give_the_same(
    kind: str, scale: float
) -> None:
    case = g.made_designs()["unequal_clusters"]
    made = case.design()
    sd = np.array([1.0, 0.25, 0.25])
    bias = g.Bias(kind, Prior("cauchy", (0.0, scale), lower=0.0))
    model = g.posterior(
        case.data,
        made.X,
        np.zeros(3),
        sd,
        INVERSE_GAMMA,
        Prior("beta", (2.0, 1.5)),
        bias,
    )
    log_tau, w_tau = panels(np.linspace(-6.0, 5.0, 6).tolist(), 12)
    half, w_half = panels([0.0, 0.8, math.pi / 2], 12)
    t, w_t = panels(np.linspace(0.0, 6.0, 6).tolist(), 12)
    rho, beta = np.sin(half) ** 2, np.sinh(t)
    w_rho = w_half * np.sin(2.0 * half) * stats.beta.pdf(rho, 2.0, 1.5)
    w_beta = w_t * np.cosh(t) * 2.0 * stats.cauchy.pdf(beta, scale=scale)
    Z = 0.5 * made.X
    residual = case.data.y - beta[:, None] * case.data.bias_column(kind)
    total, first = 0.0, 0.0
    for s, w in zip(log_tau, w_tau, strict=True):
        tau = math.exp(s)
        w = w * tau * stats.invgamma.pdf(tau, 1.0, scale=0.15)
        for r, v in zip(rho, w_rho, strict=True):
            S = g.covariance(case.data, tau, r) + Z @ np.diag(sd**2) @ Z.T
            L = np.linalg.cholesky(S)
            white = np.linalg.solve(L, residual.T)
            log_density = -0.5 * (white**2).sum(axis=0) - np.log(np.diag(L)).sum()
            share = w * v * w_beta * np.exp(log_density)
            total += float(share.sum())
            first += float(share @ beta)
    logml = math.log(total) - 0.5 * case.data.y.size * math.log(2.0 * math.pi)
    assert model.logml == pytest.approx(logml, abs=DENSE)
    assert model.moments("bias")[0] == pytest.approx(first / total, rel=1e-6)


@pytest.mark.parametrize("name", ["factor_by_continuous", "duplicated"])
def test_conditional_posterior_is_that_of_the_joint_normal(name: str) -> None:
    case = g.made_designs()[name]
    made, data = case.design(), case.data
    sd = np.linspace(0.2, 0.8, made.X.shape[1])
    mean = np.linspace(-0.1, 0.2, sd.size)
    rho = 0.7 if data.cluster is not None else 0.0
    bias = g.Bias("PET", 0.3)
    model = g.posterior(data, made.X, mean, sd, 0.4, rho, bias)
    assert model.weight.size == 1
    expected = dense_log_density(model, 0.4, rho, 0.3)
    assert model.logml == pytest.approx(expected, abs=SAME)
    Z, D = 0.5 * made.X, np.diag(sd**2)
    theta = Z @ D @ Z.T + g.true_covariance(data, 0.4, rho)
    gain = np.linalg.inv(theta + np.diag(data.se**2))
    residual = data.y - Z @ mean - 0.3 * data.se
    b = mean + D @ Z.T @ gain @ residual
    spread = D - D @ Z.T @ gain @ Z @ D
    c = np.arange(1.0, sd.size + 1.0)
    found = model.combination(c)
    assert found.mean() == pytest.approx(c @ b, abs=SAME)
    assert found.deviation() == pytest.approx(math.sqrt(c @ spread @ c), abs=SAME)
    true = Z @ mean + theta @ gain @ residual
    rest = np.sqrt(np.diag(theta - theta @ gain @ theta))
    for row in range(data.y.size):
        found = model.true_effect(row)
        assert found.mean() == pytest.approx(true[row], abs=SAME)
        assert found.deviation() == pytest.approx(rest[row], abs=SAME)


def test_predictive_density_is_the_ratio_of_two_marginal_likelihoods() -> None:
    case = g.made_designs()["factor_by_factor"]
    made, data = case.design(), case.data
    mean, sd = np.zeros(made.X.shape[1]), np.full(made.X.shape[1], 0.3)
    bias = g.Bias("PEESE", g.HALF_CAUCHY_PEESE)
    old = g.posterior(data, made.X, mean, sd, INVERSE_GAMMA, bias=bias)
    c, se = made.cell(g="c", h="u"), 0.17
    predicted = old.estimate(c, se)
    for y in (-0.6, 0.1, 0.9):
        longer = g.Data(np.append(data.y, y), np.append(data.se, se))
        X = np.vstack([made.X, c])
        new = g.posterior(longer, X, mean, sd, INVERSE_GAMMA, bias=bias)
        ratio = math.exp(new.logml - old.logml)
        assert predicted.density(y) == pytest.approx(ratio, rel=DENSE)
    bare = old.estimate(c, se, bias=False, noise=False)
    new_effect = old.combination(c, tau=True)
    assert bare.quantile(0.9) == pytest.approx(0.5 * new_effect.quantile(0.9), abs=SAME)


def test_prior_given_as_a_log_density_is_the_same_prior() -> None:
    case = g.made_designs()["three_levels"]
    made = case.design()
    arguments = case.data, made.X, np.zeros(3), np.array([1.0, 0.3, 0.3])
    named = g.posterior(*arguments, Prior("gamma", (2.0, 5.0), 0.1, 0.9))
    law = stats.gamma(2.0, scale=0.2)
    mass = law.cdf(0.9) - law.cdf(0.1)
    density = g.Density(lambda x: law.logpdf(x) - math.log(mass), 0.1, 0.9)
    given = g.posterior(*arguments, density)
    assert given.logml == pytest.approx(named.logml, abs=SAME)
    assert given.curves["tau"].cdf(0.1) == 0.0
    assert given.curves["tau"].cdf(0.9) == 1.0
    assert given.curves["tau"].cdf(0.3) == pytest.approx(
        named.curves["tau"].cdf(0.3), abs=SAME
    )


def test_prior_without_a_density_is_refused() -> None:
    case = g.made_designs()["three_levels"]
    nowhere = g.Density(lambda x: np.full(x.shape, np.nan), 0.1, 0.9)
    with pytest.raises(q.QuadratureError, match="positive number nowhere"):
        g.posterior(
            case.data, case.design().X, np.zeros(3), np.array([1.0, 0.3, 0.3]), nowhere
        )


# -------------------------------------------------------------------- Savage-Dickey


def constrained_log_density(model: g.Posterior, c: Array, tau: float) -> float:
    """log p(y | tau, c'b = 0) by a prior that is conditioned on c'b = 0."""
    Z, D = model.data.scale * model.X, np.diag(model.prior_sd**2)
    gain = D @ c / (c @ D @ c)
    mean = model.prior_mean - gain * (c @ model.prior_mean)
    S = g.covariance(model.data, tau, 0.0) + Z @ (D - np.outer(gain, c @ D)) @ Z.T
    return float(stats.multivariate_normal.logpdf(model.data.y, Z @ mean, S))


@pytest.mark.parametrize("name", ["lonely_level", "nearly_collinear"])
def test_ratio_is_the_bayes_factor_against_the_mixture_held_to_zero(name: str) -> None:
    case = g.made_designs()[name]
    made = case.design()
    ensemble = g.ensemble(case.data, made).subset(g.all_of("effect", "heterogeneity"))
    c = made.cell(g="c") if name == "lonely_level" else made.cell(x=1.0, w=-1.0)
    free = held = density = 0.0
    for member in ensemble.members:
        model = member.posterior

        def integrand(tau: float, model=model) -> float:
            log_density = constrained_log_density(model, c, tau)
            log_prior = stats.invgamma.logpdf(tau, 1.0, scale=0.15)
            return math.exp(log_density + log_prior - model.logml)

        ratio = sum(
            integrate.quad(integrand, *ends, epsabs=1e-11, epsrel=1e-10)[0]
            for ends in ((1e-3, 0.2), (0.2, 1.0), (1.0, 20.0))
        )
        at_zero = model.prior_combination(c).density(0.0)
        free += member.prior_probability * math.exp(model.logml)
        held += member.prior_probability * at_zero * ratio * math.exp(model.logml)
        density += member.prior_probability * at_zero
    found = ensemble.savage_dickey(c)
    assert found.bf == pytest.approx(free / (held / density), rel=DENSE)
    assert (found.prior_atom, found.posterior_atom) == (0.0, 0.0)


def test_ratio_of_the_intercept_is_the_inclusion_bayes_factor_of_the_effect() -> None:
    for name in ("bcg_log_or", "schools", "andrews_pet_peese"):
        made, ensemble = printed(name)
        found = ensemble.subset(g.any_of("effect")).savage_dickey(made.intercept())
        expected = ensemble.inclusion("effect").bf
        assert found.bf == pytest.approx(expected, rel=SAME)


def test_ratio_of_two_levels_is_the_inclusion_bayes_factor_of_their_factor() -> None:
    made, ensemble = printed("andrews")
    c = made.deviation("measure", "informant") - made.deviation("measure", "direct")
    found = ensemble.subset(g.any_of("measure")).savage_dickey(c)
    assert found.bf == pytest.approx(ensemble.inclusion("measure").bf, rel=SAME)


def test_directions_are_those_of_normals_and_atoms() -> None:
    made, ensemble = printed("andrews")
    after, before = ensemble.direction(made.deviation("age", 1.0))
    assert before == pytest.approx(0.25, abs=SAME)
    mixed = ensemble.combination(made.deviation("age", 1.0))
    atom = 1.0 - ensemble.inclusion("age").posterior
    assert mixed.atom(0.0) == pytest.approx(atom, abs=SAME)
    assert after + mixed.below(0.0) + atom == pytest.approx(1.0, abs=SAME)
    conditional = ensemble.subset(g.any_of("age")).direction(made.deviation("age", 1.0))
    assert conditional == pytest.approx((after / (1.0 - atom), 0.5), abs=SAME)


# ------------------------------------------------------------------------- mixtures


def test_mixture_of_normals_and_an_atom() -> None:
    mixture = g.Mixture.of(
        [
            (1.0, g.Mixture(np.ones(1), np.zeros(1), np.zeros(1))),
            (
                3.0,
                g.Mixture(
                    np.array([0.5, 0.5]), np.array([-1.0, 2.0]), np.array([1.0, 0.5])
                ),
            ),
        ]
    )
    one, other = stats.norm(-1.0, 1.0), stats.norm(2.0, 0.5)
    assert mixture.mean() == pytest.approx(0.375)
    variance = 0.375 * (1.0 + 1.0) + 0.375 * (0.25 + 4.0) - 0.375**2
    assert mixture.deviation() == pytest.approx(math.sqrt(variance))
    for x in (-2.0, 0.0, 1.3):
        density = 0.375 * (one.pdf(x) + other.pdf(x))
        assert mixture.density(x) == pytest.approx(density)
        below = 0.375 * (one.cdf(x) + other.cdf(x))
        assert mixture.below(x) == pytest.approx(below + 0.25 * (x > 0.0))
        assert mixture.cdf(x) == pytest.approx(below + 0.25 * (x >= 0.0))
        assert mixture.above(x) == pytest.approx(1.0 - mixture.cdf(x))
    assert mixture.atom(0.0) == 0.25
    # Below 0 lies .375 (.8413 + 3e-5) = .3155, at 0 another .25.
    assert [mixture.quantile(p) for p in (0.32, 0.5, 0.56)] == [0.0] * 3
    assert mixture.cdf(mixture.quantile(0.1)) == pytest.approx(0.1)
    assert mixture.cdf(mixture.quantile(0.9)) == pytest.approx(0.9)
    cube = 0.375 * (one.moment(3) + other.moment(3))
    assert mixture.expectation(lambda x: x**3) == pytest.approx(cube)


# ----------------------------------------------------------------------- designs


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_contrasts_have_the_stated_geometry(levels: int) -> None:
    centring = np.eye(levels) - 1.0 / levels
    rows = g.contrast_rows("orthonormal", levels)
    np.testing.assert_allclose(rows @ rows.T, centring, atol=1e-15)
    np.testing.assert_allclose(rows.T @ rows, np.eye(levels - 1), atol=1e-15)
    rows = g.contrast_rows("meandif", levels)
    np.testing.assert_allclose((rows**2).sum(axis=1), 1.0)
    np.testing.assert_allclose(rows.sum(axis=0), 0.0, atol=1e-14)
    inner = rows @ rows.T
    np.testing.assert_allclose(inner[0, 1:], -1.0 / (levels - 1))
    difference = rows[0] - rows[-1]
    expected = math.sqrt(2.0 * levels / (levels - 1))
    assert np.linalg.norm(difference) == pytest.approx(expected)
    rows = g.contrast_rows("treatment", levels)
    assert not rows[0].any()
    np.testing.assert_array_equal(rows[1:], np.eye(levels - 1))


def test_cells_of_an_interaction_have_the_products_of_their_parents() -> None:
    case = g.made_designs()["factor_by_continuous"]
    made = case.design()
    x = made.parents["x"]
    for row in range(case.data.y.size):
        coded = (case.columns["x"][row] - x.centre) / x.spread
        c = made.cell(g=str(case.columns["g"][row]), x=float(coded))
        np.testing.assert_allclose(c, made.X[row], atol=1e-14)
    assert not made.intercept()[1:].any()
    made = g.made_designs()["factor_by_factor"].design()
    cells = [made.deviation("g:h", a, b) for a in "abc" for b in "uv"]
    np.testing.assert_allclose(np.linalg.norm(cells, axis=1), 1.0)
    np.testing.assert_allclose(np.sum(cells, axis=0), 0.0, atol=1e-14)


def test_made_designs_are_what_they_are_called() -> None:
    cases = g.made_designs()
    assert all(8 <= case.data.y.size <= 20 for case in cases.values())
    again = g.made_designs()
    for name, case in cases.items():
        np.testing.assert_array_equal(case.data.y, again[name].data.y)
        for column in case.columns.values():
            assert column.shape == case.data.y.shape
    _, counts = np.unique(cases["lonely_level"].columns["g"], return_counts=True)
    assert sorted(counts) == [1, 4, 5]
    assert np.unique(cases["three_levels"].columns["g"]).size == 3
    columns = cases["nearly_collinear"].columns
    correlation = np.corrcoef(columns["x"], columns["w"])[0, 1]
    assert 0.999 < correlation < 1.0
    columns = cases["duplicated"].columns
    np.testing.assert_array_equal(columns["x"], columns["w"])
    columns = cases["factor_by_factor"].columns
    pairs = set(zip(columns["g"].tolist(), columns["h"].tolist(), strict=True))
    assert pairs == {(a, b) for a in "abc" for b in "uv"} - {("c", "u")}
    _, sizes = np.unique(cases["unequal_clusters"].data.cluster, return_counts=True)
    assert sorted(sizes) == [1, 2, 4, 9]


# ------------------------------------------------------------------------ identities


def logml(
    data: g.Data,
    made: g.Design,
    sd: float | Array = 0.25,
    bias: g.Bias | None = None,
) -> float:
    """Of the model with the effect, heterogeneity and all terms."""
    prior_sd = np.append(1.0, np.broadcast_to(sd, made.X.shape[1] - 1))
    rho = 0.0 if data.cluster is None else BETA
    mean = np.zeros(prior_sd.size)
    return g.posterior(data, made.X, mean, prior_sd, INVERSE_GAMMA, rho, bias).logml


def test_names_and_order_of_levels_change_nothing() -> None:
    case = g.made_designs()["lonely_level"]
    renamed = np.array([{"a": "z", "b": "m", "c": "k"}[v] for v in case.columns["g"]])
    one, other = case.design(), g.design({"g": renamed}, ["g"])
    assert logml(case.data, one) == pytest.approx(logml(case.data, other), abs=SAME)
    first, second = g.ensemble(case.data, one), g.ensemble(case.data, other)
    found = first.combination(one.cell(g="c"))
    expected = second.combination(other.cell(g="k"))
    assert found.mean() == pytest.approx(expected.mean(), abs=SAME)
    assert found.quantile(0.1) == pytest.approx(expected.quantile(0.1), abs=SAME)


def test_rotated_contrasts_change_nothing() -> None:
    case = g.made_designs()["three_levels"]
    term = g.factor("g", case.columns["g"])
    turn = stats.ortho_group(2, seed=3).rvs()
    rows = {level: row @ turn for level, row in term.rows.items()}
    rotated = g.Term("g", term.columns @ turn, rows)
    one, other = case.design(), g.design({"g": rotated}, ["g"])
    assert logml(case.data, one) == pytest.approx(logml(case.data, other), abs=SAME)
    first, second = g.ensemble(case.data, one), g.ensemble(case.data, other)
    for level in rows:
        found = first.savage_dickey(one.cell(g=level)).bf
        expected = second.savage_dickey(other.cell(g=level)).bf
        assert found == pytest.approx(expected, rel=SAME)


def test_units_of_a_standardised_predictor_change_nothing() -> None:
    case = g.made_designs()["continuous_by_continuous"]
    columns = {"x": 3.0 - 7.0 * case.columns["x"], "w": 1e3 + case.columns["w"]}
    other = g.design(columns, case.terms)
    found = logml(case.data, other)
    assert found == pytest.approx(logml(case.data, case.design()), abs=SAME)


def test_factor_of_two_levels_is_a_column_of_signs() -> None:
    case = g.made_designs()["unequal_clusters"]
    signs = g.continuous("g", np.where(case.columns["g"] == "u", 1.0, -1.0), 0.0, 1.0)
    other = g.design({**case.columns, "g": signs}, case.terms)
    found = logml(case.data, other)
    assert found == pytest.approx(logml(case.data, case.design()), abs=SAME)


def test_meandif_is_orthonormal_with_a_wider_prior() -> None:
    case = g.made_designs()["lonely_level"]
    found = logml(case.data, case.design("orthonormal"), 0.25 * math.sqrt(1.5))
    assert found == pytest.approx(logml(case.data, case.design()), abs=SAME)


def test_column_that_stands_twice_is_one_with_a_prior_of_two_sds() -> None:
    case = g.made_designs()["duplicated"]
    twice = g.ensemble(case.data, case.design(), effect=g.EFFECT[1:])
    single = g.design({"x": case.columns["x"]}, ["x"])
    narrow, wide = (
        g.ensemble(case.data, single, effect=g.EFFECT[1:], sd=sd).inclusion("x").bf
        for sd in (0.25, 0.25 * math.sqrt(2.0))
    )
    # With equal odds of heterogeneity, these compare the sums over it.
    found = twice.compare(g.any_of("x", "w"), g.none_of("x", "w")).bf
    assert found == pytest.approx((2.0 * narrow + wide) / 3.0, rel=SAME)


def test_clusters_of_one_are_independent_whatever_rho() -> None:
    case = g.made_designs()["factor_by_factor"]
    made = case.design()
    size = case.data.y.size
    data = g.Data(case.data.y, case.data.se, np.arange(size))
    assert logml(data, made) == pytest.approx(logml(case.data, made), abs=SAME)
    clustered = g.made_designs()["unequal_clusters"]
    made, data = clustered.design(), clustered.data
    alone = g.Data(data.y, data.se)
    arguments = made.X, np.zeros(3), np.array([1.0, 0.25, 0.25]), INVERSE_GAMMA
    found = g.posterior(data, *arguments, 0.0).logml
    assert found == pytest.approx(g.posterior(alone, *arguments).logml, abs=SAME)


@pytest.mark.parametrize("kind", ["PET", "PEESE"])
def test_bias_with_a_normal_prior_is_one_more_column(kind: str) -> None:
    case = g.made_designs()["unequal_clusters"]
    made, data = case.design(), case.data
    bias = g.Bias(kind, Prior("normal", (0.0, 0.7)))
    extra = g.Term("bias", data.bias_column(kind)[:, None] / data.scale, {})
    columns = {**case.columns, "bias": extra}
    longer = g.design(columns, [*case.terms, "bias"])
    found = logml(data, made, bias=bias)
    expected = logml(data, longer, np.array([0.25, 0.25, 0.7]))
    assert found == pytest.approx(expected, abs=SAME)


def test_mirrored_estimates_with_the_other_direction_change_nothing() -> None:
    case = g.made_designs()["factor_by_continuous"]
    made, data = case.design(), case.data
    mirrored = g.Data(-data.y, data.se, data.cluster, direction=-1)
    bias = g.Bias("PET", g.HALF_CAUCHY_PET)
    found = logml(mirrored, made, bias=bias)
    assert found == pytest.approx(logml(data, made, bias=bias), abs=SAME)


def test_order_of_rows_and_labels_of_clusters_change_nothing() -> None:
    case = g.made_designs()["factor_by_continuous"]
    order = np.random.default_rng(5).permutation(case.data.y.size)
    data = g.Data(
        case.data.y[order], case.data.se[order], 100 - case.data.cluster[order]
    )
    other = g.design({k: v[order] for k, v in case.columns.items()}, case.terms)
    found = logml(data, other)
    assert found == pytest.approx(logml(case.data, case.design()), abs=SAME)


def test_weights_of_models_change_the_odds_and_not_the_bayes_factor() -> None:
    _, ensemble = printed("bcg_log_rr")
    counted = ensemble.weighted(
        lambda on: 1.0 / math.comb(2, len(on & {"ablat", "alloc"}))
    )
    shares = [m.prior_probability for m in counted.members]
    assert sum(shares) == pytest.approx(1.0)
    found = counted.inclusion("effect")
    assert found.prior == pytest.approx(0.5)
    one, other = g.all_of("ablat", "alloc"), g.none_of("ablat", "alloc")
    assert counted.compare(one, other).log_bf == pytest.approx(
        ensemble.compare(one, other).log_bf, abs=SAME
    )
    log_joint = counted.log_joint()
    assert special.logsumexp(log_joint) < max(
        member.posterior.logml for member in counted.members
    )
